"""Replace the services, all of them or none; or go on waiting for a release that was left rolling.

The deployments that UpdateService returned decide. When one fails, all return to the last known good release.
"""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release.action import OfRelease, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import rollout


class ActionModule(ReleaseAction):
    """Replaces the services, all of them or none."""

    class Options(OfRelease, kw_only=True):
        """Its options.

        Args:
            kind: of what release_acquire found; `resume` updates nothing, for that was done before.
        """

        kind: str

    work = "The rollout"

    def release(self, context: Context, options: Options) -> Result:
        """Return the release, rolled out."""
        resumes = options.kind == "resume"
        go_on = rollout.resume if resumes else rollout.roll
        manifest = go_on(context, options.manifest, context.releases.current())
        new = [name for name, each in manifest.services.items() if each.deployment or resumes]
        message = (
            f"{', '.join(new)} on {manifest.commit[:12]}" if new else f"{manifest.commit[:12]} was already running"
        )
        return Result(changed=bool(new), facts={"manifest": manifest}, step=StepReport("rolled", message))
