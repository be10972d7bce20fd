"""Record the release as the last known good one, give the lease back, and report as `deploy --json`."""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release import heartbeat, lease
from stackhand.release.action import OfRelease, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import verification


class ActionModule(ReleaseAction):
    """Records the release as the last known good one, and gives the lease back."""

    class Options(OfRelease, kw_only=True):
        """Its options.

        Args:
            heartbeat: the process that renews the lease.
        """

        heartbeat: int

    work = "The record"

    def release(self, context: Context, options: Options) -> Result:
        """Return the report of the whole."""
        changed, manifest = verification.record(context, options.manifest)
        lease.give_back(context.store, context.token)
        heartbeat.stop(options.heartbeat)
        message = f"{manifest.id} is the last known good release"
        return Result(
            changed=changed,
            step=StepReport("recorded", message),
            report=verification.report(manifest, changed=changed),
        )
