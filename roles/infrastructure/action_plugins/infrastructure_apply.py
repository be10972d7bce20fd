"""See library/infrastructure_apply.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import Action, step
from stackhand.aws.waiting import Retry
from stackhand.infrastructure import plan as destructive
from stackhand.infrastructure import restore, secrets
from stackhand.infrastructure.bucket import Store
from stackhand.infrastructure.plan import SHOWN, numbers
from stackhand.infrastructure.restore import Restore
from stackhand.infrastructure.terraform import Terraform
from stackhand.project import environments

PATIENCE = 120.0
"""Seconds for the note of a restore, while S3 is busy."""


class ActionModule(Action):
    """Applies what was planned, unless data would be lost."""

    options = frozenset({"environment", "plan", "outputs", "may_lose_data", "restore", "lock_wait"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Apply the plan, and return the output that a deploy needs as a fact."""
        environment, plan = environments.load(str(arguments["environment"])), arguments["plan"]
        restored, store = Restore(**arguments["restore"]), Store(environment, Retry(PATIENCE))
        restore.require_finished(store, restored.chosen)
        if not arguments["may_lose_data"]:
            destructive.refuse_loss(environment.name, plan, allowed=restored.addresses)
        secrets.require(environment, arguments["outputs"].get(secrets.OUTPUT, {}))
        if check:
            return {"changed": bool(plan["changed"])}
        terraform = Terraform(environment, self.progress, self.count, float(arguments["lock_wait"]))
        notes = []
        if restored.replaced:
            restore.record(store, restored)
            notes = restore.make_way(terraform, restored)
            terraform.plan(replace=restored.addresses, **restored.variables())  # the state is another one now
        if plan["changed"]:
            terraform.apply(sum(plan[name] for name in SHOWN))
        terraform.plan_file.unlink(missing_ok=True)
        restore.forget(store)
        # Where nothing changes they are known by now, and Terraform need not be asked once more.
        found = terraform.outputs() if plan["changed"] else arguments["outputs"]
        done = [f"{plan[name]} to {name}" for name in SHOWN if plan[name]]
        words = ", ".join(done) or ("outputs" if plan["changed"] else "as the files say")
        concerns = {each["name"]: len(each["resources"]) for each in plan["concerns"]}
        return {
            "changed": bool(plan["changed"]),
            "step": step("applied", f"{words}; {found['url']}", notes=[*notes, *numbers(concerns)]),
            "ansible_facts": {"infrastructure_release": found["release"]},
        }
