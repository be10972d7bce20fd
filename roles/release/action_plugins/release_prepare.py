"""See library/release_prepare.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import prepare, target
from stackhand.release.action import ReleaseAction
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Registers the task definitions that differ from what runs."""

    options = frozenset({"environment", "output", "digests", "commit", "name", "migrations", "token"})
    words = "The preparation of the release"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the release."""
        context.require_lease()
        where = target.parse(arguments["output"])
        commit = str(arguments["commit"])
        with prepare.files_of(commit, str(arguments["migrations"])) as folder:
            found = prepare.prepare(context, where, arguments["digests"], commit, folder)
        found = found.but(name=str(arguments["name"] or ""))
        new = [each.task_definition.rpartition("/")[2] for each in found.services.values() if not each.same]
        words = f"registered {', '.join(new)}" if new else "nothing differs from what runs"
        return {"changed": bool(new), "manifest": found.to_dict(), "step": step("prepared", words)}
