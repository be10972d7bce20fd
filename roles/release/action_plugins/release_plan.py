"""See library/release_plan.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand import ROOT
from stackhand.ansible.action import step
from stackhand.release import plan
from stackhand.release.action import ReleaseAction
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Says what a release of this commit would change."""

    options = frozenset({"environment", "output", "migrations", "report"})
    words = "The comparison"
    reads = True

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Add to the report of Terraform's plan."""
        found = plan.plan(context, arguments["output"], ROOT / str(arguments["migrations"]))
        report = {**arguments["report"], "release": found}
        words = "changes" if found["changed"] else "no changes"
        return {"changed": False, "report": report, "step": step("release", words)}
