"""Apply what was planned, unless data would be lost."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import Action, Result
from stackhand.aws.waiting import Retry
from stackhand.cli.reporter import StepReport
from stackhand.infrastructure import plan as plans
from stackhand.infrastructure import secrets
from stackhand.infrastructure.plan import PlanDocument, numbers
from stackhand.infrastructure.snapshots import restore
from stackhand.infrastructure.snapshots.restore import Restore
from stackhand.infrastructure.store import Store
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project import environments
from stackhand.release.action import OnEnvironment

TIMEOUT = 120.0
"""Seconds for the note of a restore, while S3 is busy."""


class ActionModule(Action):
    """Applies the plan, and sets the fact `target`: Terraform's output `release`, all that a deploy needs."""

    class Options(OnEnvironment):
        """Its options.

        Args:
            plan: as infrastructure_plan reported it.
            outputs: as infrastructure_plan knows them; they are used when nothing changes.
            restore: the databases that start from a snapshot.
            may_lose_data: apply a plan that deletes a database, a cache, images, logs or the key.
            lock_wait: seconds to wait while somebody else has the state.
        """

        plan: PlanDocument
        outputs: dict[str, Any]
        restore: Restore
        may_lose_data: bool = False
        lock_wait: float = 0.0

    def act(self, options: Options, *, check: bool) -> Result:
        """Apply the plan, and return the output that a deploy needs."""
        environment, plan = environments.load(options.environment), options.plan
        restored, store = options.restore, Store(environment, Retry(TIMEOUT))
        restore.require_finished(store, restored.chosen)
        if not options.may_lose_data:
            plans.refuse_loss(environment.name, plan, allowed=restored.addresses)
        secrets.require(environment, options.outputs.get(secrets.OUTPUT, {}))
        if check:
            return Result(changed=plan.changed)
        terraform = Terraform(environment, self.progress, self.count, options.lock_wait)
        notes = []
        if restored.replaced:
            restore.record(store, restored)
            notes = restore.make_way(terraform, restored)
            terraform.plan(replace=restored.addresses, **restored.variables())  # the state is another one now
        if plan.changed:
            terraform.apply(sum(plan.counts().values()))
        terraform.plan_file.unlink(missing_ok=True)
        restore.forget(store)
        # Where nothing changes they are known by now, and Terraform need not be asked once more.
        outputs = terraform.outputs() if plan.changed else options.outputs
        composed = secrets.write_composed(environment, outputs)
        notes += [f"composed of its secrets: {each}" for each in composed]
        done = [f"{number} to {name}" for name, number in plan.counts().items()]
        message = ", ".join(done) or ("outputs" if plan.changed else "up to date")
        concerns = {each.name: len(each.resources) for each in plan.concerns}
        return Result(
            changed=plan.changed or bool(composed),
            step=StepReport("applied", f"{message}; {outputs['url']}", notes=[*notes, *numbers(concerns)]),
            facts={"target": outputs["release"]},
        )
