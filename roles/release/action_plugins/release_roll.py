"""See library/release_roll.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import submit
from stackhand.release.action import ReleaseAction, manifest_of
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Replaces the services, all of them or none."""

    options = frozenset({"environment", "manifest", "token", "pace"})
    words = "The rollout"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the release, rolled out."""
        found = submit.roll(context, manifest_of(arguments), context.releases.current())
        new = [name for name, each in found.services.items() if each.deployment]
        words = f"{', '.join(new)} on {found.commit[:12]}" if new else f"{found.commit[:12]} was running already"
        return {"changed": bool(new), "manifest": found.to_dict(), "step": step("rolled", words)}
