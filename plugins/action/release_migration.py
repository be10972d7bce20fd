"""Bring the database up to date with the new code, in a task of its own, before any service is updated."""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release.action import OfRelease, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import migration

SHOWN = 5
"""How many of its last lines a job shows that has ended well; CloudWatch has all of them."""


class ActionModule(ReleaseAction):
    """Brings the database up to date, with the new code."""

    work = "The migration"

    def release(self, context: Context, options: OfRelease) -> Result:
        """Return the release, migrated."""
        output = migration.migrate(context, options.manifest)
        notes = [f"{name}: {line}" for name, lines in output.items() for line in lines[-SHOWN:]]
        step = StepReport("migrated", f"{', '.join(output)}: exit code 0", notes=notes) if output else None
        return Result(changed=bool(output), step=step, facts={"manifest": options.manifest.but(migrated=True)})
