"""Say what a release of this commit would change.

It reads only: task definitions, images, migrations, and what differs by now from what was released.
"""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release import plan
from stackhand.release.action import OnEnvironment, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import known_migrations


class ActionModule(ReleaseAction):
    """Says what a release of this commit would change."""

    class Options(OnEnvironment):
        """Its options.

        Args:
            outputs: Terraform's, as they would be; without `release` that of the newest release counts.
            report: of Terraform's plan, to which that of the release is added.
        """

        outputs: dict[str, Any]
        report: dict[str, Any]

    work = "The comparison"
    reads = True

    def release(self, context: Context, options: Options) -> Result:
        """Add to the report of Terraform's plan."""
        changes = plan.plan(context, options.outputs.get("release", {}), known_migrations.of_checkout())
        report = {**options.report, "release": changes}
        message = "changes" if changes.changed else "no changes"
        return Result(changed=False, report=report, step=StepReport("release", message))
