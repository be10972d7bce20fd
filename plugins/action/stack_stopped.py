"""Stop everything of this checkout, on both engines: containers, supervised services, what a killed supervisor left."""

from __future__ import annotations

from stackhand.ansible.action import Action, Result, StepOptions
from stackhand.cli.reporter import StepReport
from stackhand.local import otherengine


class ActionModule(Action):
    """Stops everything of this checkout, on both engines, and says what that was."""

    prefix = "stack"

    class Options(StepOptions):
        """Its options.

        Args:
            volumes: remove the data as well, that of the other engine too.
        """

        volumes: bool = False

    def act(self, options: Options, *, check: bool) -> Result:
        """Return what was stopped."""
        volumes = options.volumes
        left = otherengine.left(self.state, volumes=volumes)
        changed = left.running or bool(volumes and left.data)
        if check:
            return Result(changed=changed)
        stopped, unknown, undone = otherengine.stop(self.state, volumes=volumes)
        if self.state.read().up:
            with self.state.edit() as memory:
                memory.up = False
        message = f"stopped: {', '.join(stopped)}" if stopped else "nothing was running"
        notes = [*undone, *(unknown if volumes else [])]
        return Result(
            changed=changed or bool(stopped),
            step=StepReport("down", message + ("; data removed" if volumes else ""), notes=notes),
            report=otherengine.DownReport(stopped, volumes and not unknown, unknown),
        )
