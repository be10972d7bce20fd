"""Looking into plans and states."""

from __future__ import annotations

from typing import Any

import msgspec

from stackhand.infrastructure.documents import TerraformPlan

Plan = dict[str, Any]


def typed(plan: Plan) -> TerraformPlan:
    """A plan as the toolkit reads it."""
    return msgspec.convert(plan, TerraformPlan)


def resources(plan: Plan, kind: str) -> dict[str, Any]:
    """The resources of a type: their values by address."""
    found = (plan.get("planned_values") or plan)["root_module"]["resources"]
    return {each["address"]: each["values"] for each in found if each["type"] == kind and each["mode"] == "managed"}


def addresses(plan: Plan) -> set[str]:
    """What a plan is about."""
    return {each["address"] for each in plan["resource_changes"] if each["mode"] == "managed"}


def tasks(applied: Plan) -> Plan:
    """What a deploy is told of each service."""
    return dict(applied["outputs"]["release"]["value"]["services"])
