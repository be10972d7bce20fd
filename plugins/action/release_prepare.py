"""Register the task definitions that differ from what runs.

They are Terraform's templates with the images by digest. What means the same as what runs is not registered again.
"""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release import target
from stackhand.release.action import Leased, ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import migration, prepare


class ActionModule(ReleaseAction):
    """Registers the task definitions, and sets the fact `manifest`: the release."""

    class Options(Leased, kw_only=True):
        """Its options.

        Args:
            target: Terraform's output `release`.
            digests: of each image that was built, by service.
            commit: what the release is called, and its images say they are.
            name: what else its images are called; empty when that is nothing.
        """

        target: dict[str, Any]
        digests: dict[str, str]
        commit: str
        name: str

    work = "The preparation of the release"

    def release(self, context: Context, options: Options) -> Result:
        """Return the release."""
        context.require_lease()
        where = target.parse(options.target)
        known = migration.of_commit(options.commit) or []
        prepared = prepare.prepare(context, where, options.digests, options.commit, known)
        prepared = prepared.but(name=options.name)
        new = [each.task_definition.rpartition("/")[2] for each in prepared.services.values() if not each.same]
        message = f"registered {', '.join(new)}" if new else "no changes"
        return Result(changed=bool(new), facts={"manifest": prepared}, step=StepReport("prepared", message))
