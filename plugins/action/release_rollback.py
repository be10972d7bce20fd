"""Prepare the return to an earlier release.

One that was never good, does not work with the database any more, needs what is gone or scaled to 0, or is not signed
is refused.
"""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release.action import OfRelease, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import prepare


class ActionModule(ReleaseAction):
    """Prepares the return to an earlier release."""

    class Options(OfRelease, kw_only=True):
        """Its options.

        Args:
            allow_unsigned: whether its images may have no signature; one that is wrong is refused all the same.
        """

        allow_unsigned: bool = False

    work = "The rollback"

    def release(self, context: Context, options: Options) -> Result:
        """Return the release that brings an earlier one back."""
        context.require_lease()
        good = options.manifest
        plan = prepare.prepare_rollback(context, good, unsigned=options.allow_unsigned)
        message = f"rolling back to {good.commit[:12]}, release {good.id}"
        return Result(changed=False, facts={"manifest": plan}, step=StepReport("prepared", message))
