"""See library/infrastructure_plan.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand import ROOT, environments, probes
from stackhand.action import Action, step
from stackhand.infrastructure import compose, cost, description
from stackhand.infrastructure.plan import Summary, concerns_of, rows, summary
from stackhand.infrastructure.process import FOLDER
from stackhand.infrastructure.program import Terraform


class ActionModule(Action):
    """Lets Terraform plan, and says what it would do."""

    options = frozenset({"environment", "refresh", "cost"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:  # noqa: ARG002 - a plan changes nothing
        """Plan; it changes nothing but the file of the plan."""
        environment = environments.load(str(arguments["environment"]))
        terraform = Terraform(environment, self.progress)
        terraform.init()
        changed = terraform.plan(refresh=bool(arguments["refresh"]))
        stack = description.check(ROOT)
        report: dict[str, Any] = {"environment": environment.name, "region": environment.region}
        report |= {"compose": compose.to_list(compose.notes(stack)), "probe": probes.of_stack(stack).to_dict()}
        if not changed and not arguments["cost"]:
            nothing = {"plan": Summary([], []).to_dict()}
            return _planned("no changes", report | nothing, terraform.outputs())
        planned = terraform.planned()
        found, money = summary(planned, concerns_of(FOLDER)), cost.estimate(planned)
        report |= {
            "plan": found.to_dict(),
            "cost": {**money.to_dict(), "words": money.words()},
            "table": rows(found),
        }
        words = f"{len(found.changes)} changes" if found.changes else "no changes"
        outputs = planned.get("planned_values", {}).get("outputs", {})
        return _planned(words, report, {name: each["value"] for name, each in outputs.items() if "value" in each})


def _planned(words: str, report: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    return {"changed": False, "step": step("planned", words), "report": report, "outputs": outputs}
