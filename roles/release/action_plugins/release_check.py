"""See library/release_check.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import preflight, target
from stackhand.release.action import ReleaseAction
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Checks that a release would not fail for what is around it."""

    options = frozenset({"environment", "output", "digests"})
    words = "The check of the environment"
    reads = True

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Check, and note what could not be checked."""
        where = target.parse(arguments["output"])
        notes = preflight.Preflight(context.environment, where, arguments["digests"]).run()
        words = f"{', '.join(where.services)}: roles, secrets, logs, targets, network, images"
        return {"changed": False, "step": step("preflight", words, notes=notes)}
