"""Have the schedules start the jobs of this release from now on.

The services run and answer well by then, so a release that fails has changed no schedule.
"""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release.action import OfRelease, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import verification


class ActionModule(ReleaseAction):
    """Sets what the schedules start; all of them or none."""

    work = "The change of the schedules"

    def release(self, context: Context, options: OfRelease) -> Result:
        """Return the release, with the schedules that were changed."""
        manifest = verification.update_schedules(context, options.manifest)
        names = [name for name, each in manifest.scheduled.items() if each.updated]
        step = StepReport("scheduled", f"{', '.join(names)} on {manifest.commit[:12]}") if names else None
        return Result(changed=bool(names), step=step, facts={"manifest": manifest})
