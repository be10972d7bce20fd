"""Ask the release through the load balancer.

Several times in a row it must be healthy, be this release, and be quick; else all services return.
"""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release.action import OfRelease, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import verification


class ActionModule(ReleaseAction):
    """Asks the release through the load balancer, and takes it back when it does not answer well."""

    class Options(OfRelease, kw_only=True):
        """Its options.

        Args:
            kind: of what release_acquire found.
        """

        kind: str

    work = "The probe"

    def release(self, context: Context, options: Options) -> Result:
        """Probe."""
        return Result(changed=False, step=StepReport("probed", verification.probe(context, options.manifest)))
