"""See library/infrastructure_plan.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand import environments
from stackhand.action import Action, step
from stackhand.infrastructure import cost
from stackhand.infrastructure.plan import concerns_of, rows, summary
from stackhand.infrastructure.process import FOLDER
from stackhand.infrastructure.program import Terraform


class ActionModule(Action):
    """Lets Terraform plan, and says what it would do."""

    options = frozenset({"environment", "refresh"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:  # noqa: ARG002 - a plan changes nothing
        """Plan; it changes nothing but the file of the plan."""
        environment = environments.load(str(arguments["environment"]))
        terraform = Terraform(environment, self.progress)
        terraform.init()
        terraform.plan(refresh=bool(arguments["refresh"]))
        planned = terraform.planned()
        found, money = summary(planned, concerns_of(FOLDER)), cost.estimate(planned)
        report = {
            "environment": environment.name,
            "region": environment.region,
            "plan": found.to_dict(),
            "cost": {**money.to_dict(), "words": money.words()},
            "table": rows(found),
        }
        words = f"{len(found.changes)} changes" if found.changes else "no changes"
        outputs = planned.get("planned_values", {}).get("outputs", {})
        release = outputs.get("release", {}).get("value") or {}
        return {"changed": False, "step": step("planned", words), "report": report, "release": release}
