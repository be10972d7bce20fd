"""Stop everything of this checkout, on both engines: containers, supervised services, what a killed supervisor left."""

from __future__ import annotations

from typing import Any

from stackhand.ansible import options
from stackhand.ansible.action import Action, step
from stackhand.local import otherengine


class ActionModule(Action):
    """Stops everything of this checkout, on both engines, and says what that was."""

    prefix = "stack"

    class Options(options.Options):
        """Its options.

        Args:
            volumes: remove the data as well, that of the other engine too.
        """

        volumes: bool = False

    def act(self, options: Options, *, check: bool) -> dict[str, Any]:
        """Return what was stopped."""
        volumes = options.volumes
        left = otherengine.left(self.state, volumes=volumes)
        changed = left.running or bool(volumes and left.data)
        if check:
            return {"changed": changed}
        stopped, unknown, undone = otherengine.stop(self.state, volumes=volumes)
        if self.state.read().get("up"):
            self.state.remember(up=None)
        message = f"stopped: {', '.join(stopped)}" if stopped else "nothing was running"
        notes = [*undone, *(unknown if volumes else [])]
        return {
            "changed": changed or bool(stopped),
            "step": step("down", message + ("; data removed" if volumes else ""), notes=notes),
            "report": {"stopped": stopped, "volumes_removed": volumes and not unknown, "unknown": unknown},
        }
