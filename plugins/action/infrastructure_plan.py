"""Say what would change, and what it costs.

Its report has the changes by concern, which is the file of terraform/ that a resource stands in.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stackhand.ansible.action import Action, Result
from stackhand.cli import console
from stackhand.cli.reporter import StepReport
from stackhand.infrastructure import cost, interfaces, plan_warnings, secrets
from stackhand.infrastructure.documents import TerraformPlan
from stackhand.infrastructure.plan import Summary, concerns_of, rows, summary
from stackhand.infrastructure.services import compose, differences, existing, services
from stackhand.infrastructure.snapshots import restore
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project import environments
from stackhand.project.stack import probes
from stackhand.release.action import OnEnvironment
from stackhand.system.roots import PROJECT


class ActionModule(Action):
    """Lets Terraform plan, and sets the facts `plan`, `restore`, `outputs` and `report`."""

    class Options(OnEnvironment, kw_only=True):
        """Its options.

        Args:
            refresh: compare with what is there; otherwise with the state alone, which needs no right but to read it.
            cost: also say what it costs when nothing changes, which takes Terraform a moment more.
            from_snapshot: what a database starts from, as NAME or SERVICE=NAME.
            replace_database: also where there is one already, which leaves a snapshot and gives way.
            lock_wait: seconds to wait while somebody else has the state.
        """

        refresh: bool = True
        cost: bool
        from_snapshot: str = ""
        replace_database: bool = False
        lock_wait: float = 0.0

    def act(self, options: Options, *, check: bool) -> Result:
        """Plan; it changes nothing but the file of the plan, and before an apply what the state remembers."""
        environment = environments.load(options.environment)
        restored, stack = restore.Restore(), compose.check(PROJECT, services.variables_of(environment))
        if options.refresh:
            restored = restore.prepare(environment, stack, options.from_snapshot, replace=options.replace_database)
        terraform = Terraform(environment, self.progress, lock_wait=options.lock_wait)
        refresh, applied_next = options.refresh, not options.cost
        terraform.init()
        replaced, variables = restored.addresses, restored.variables()
        changed = terraform.plan(refresh=refresh, replace=replaced, **variables)
        report: dict[str, Any] = {"environment": environment.name, "region": environment.region}
        report |= {"compose": differences.notes(stack), "probe": probes.of_stack(stack).report()}
        report["restore"] = asdict(restored)
        report["existing"] = existing.of(environment)
        if not changed and applied_next:
            warned = [*plan_warnings.warnings(environment, TerraformPlan(), refreshed=False), *terraform.warnings()]
            report |= {"plan": Summary([], []).document(), "warnings": warned}
            return _planned("no changes", report, terraform.outputs())
        planned = terraform.planned()
        if refresh:
            existing.refuse_second_provider(environment, planned)
        restore.require_user(environment, planned, restored)
        forgotten = secrets.forgotten(planned, planned.planned_values.known().get(secrets.OUTPUT, {}))
        if forgotten and applied_next and not check:
            terraform.forget(forgotten)
            self.note(f"{', '.join(forgotten)}: now given; the value stays, and Terraform no longer manages it")
            terraform.plan(refresh=refresh, replace=replaced, **variables)
            planned = terraform.planned()
        use = interfaces.of(stack, environment, planned)
        changes, money = summary(planned, concerns_of(terraform.configuration), forgotten), cost.estimate(planned)
        warned = plan_warnings.warnings(environment, planned, refreshed=refresh and not applied_next)
        report |= {
            "plan": changes.document(),
            "cost": {**money.to_dict(), "summary": money.summary(), "words": money.summary()},
            "table": rows(changes),
            "interfaces": use.to_dict(),
            "warnings": [*warned, *([use.message()] if use.short else []), *terraform.warnings()],
        }
        message = console.counted(len(changes.changes), "change") if changes.changes else "no changes"
        return _planned(message, report, planned.planned_values.known())


def _planned(message: str, report: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    notes = [*report["restore"]["notes"], *report["warnings"]]
    facts = {"plan": report["plan"], "restore": report["restore"], "outputs": outputs, "report": report}
    return Result(changed=False, step=StepReport("planned", message, notes=notes), report=report, facts=facts)
