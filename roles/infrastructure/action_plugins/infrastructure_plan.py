"""See library/infrastructure_plan.py for what this does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stackhand import ROOT, environments, probes
from stackhand.action import Action, step
from stackhand.infrastructure import compose, cost, description, restore
from stackhand.infrastructure.plan import Summary, concerns_of, rows, summary
from stackhand.infrastructure.process import FOLDER
from stackhand.infrastructure.program import Terraform


class ActionModule(Action):
    """Lets Terraform plan, and says what it would do."""

    options = frozenset({"environment", "refresh", "cost", "from_snapshot", "replace_database"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:  # noqa: ARG002 - a plan changes nothing
        """Plan; it changes nothing but the file of the plan."""
        environment = environments.load(str(arguments["environment"]))
        restored, stack = restore.Restore(), description.check(ROOT)
        if arguments["refresh"]:
            wanted, replace = str(arguments["from_snapshot"]), bool(arguments["replace_database"])
            restored = restore.prepare(environment, stack, wanted, replace=replace)
        terraform = Terraform(environment, self.progress)
        terraform.init()
        changed = terraform.plan(refresh=bool(arguments["refresh"]), replace=restored.addresses, **restored.variables())
        report: dict[str, Any] = {"environment": environment.name, "region": environment.region}
        report |= {"compose": compose.to_list(compose.notes(stack)), "probe": probes.of_stack(stack).to_dict()}
        report["restore"] = asdict(restored)
        if not changed and not arguments["cost"]:
            nothing = {"plan": Summary([], []).to_dict()}
            return _planned("no changes", report | nothing, terraform.outputs())
        planned = terraform.planned()
        changes, money = summary(planned, concerns_of(FOLDER)), cost.estimate(planned)
        report |= {
            "plan": changes.to_dict(),
            "cost": {**money.to_dict(), "words": money.words()},
            "table": rows(changes),
        }
        words = f"{len(changes.changes)} changes" if changes.changes else "no changes"
        outputs = planned.get("planned_values", {}).get("outputs", {})
        return _planned(words, report, {name: each["value"] for name, each in outputs.items() if "value" in each})


def _planned(words: str, report: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    notes = report["restore"]["notes"]
    return {"changed": False, "step": step("planned", words, notes=notes), "report": report, "outputs": outputs}
