"""Check that a release would not fail for what is around it.

It reads only: services, roles, secrets, log groups, target groups, network, images, and the migrations of the commit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release import target
from stackhand.release.action import OnEnvironment, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.images import provenance, signature
from stackhand.release.stages import known_migrations, preflight


class ActionModule(ReleaseAction):
    """Checks that a release would not fail for what is around it, and sets the fact `migrations`."""

    class Options(OnEnvironment):
        """Its options.

        Args:
            target: Terraform's output `release`.
            digests: of each image that was built, by service.
            commit: that they were built from, as their signatures have to say.
        """

        target: dict[str, Any]
        digests: dict[str, str]
        commit: str

    work = "The check of the environment"
    reads = True

    def release(self, context: Context, options: Options) -> Result:
        """Check, and note what could not be checked."""
        where = target.parse(options.target)
        images = provenance.of_target(context.environment, where, options.digests, options.commit)
        with ThreadPoolExecutor(1) as pool:  # the project's command takes as long as AWS's answers
            known = pool.submit(known_migrations.of_commit, options.commit)
            notes = signature.require(context.environment, images)
            notes += preflight.Preflight(context.environment, where, options.digests).run()
        message = f"{', '.join(where.services)}: roles, secrets, logs, targets, network, images, signatures"
        facts = {"migrations": known.result() or []}
        return Result(changed=False, step=StepReport("preflight", message, notes=notes), facts=facts)
