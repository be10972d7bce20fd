"""What a plan warns of: it can be applied, and somebody should know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stackhand.infrastructure import given
from stackhand.project.environments import Environment

SUBSCRIPTION = "aws_sns_topic_subscription"


def of(environment: Environment, planned: Mapping[str, Any], *, refreshed: bool) -> list[str]:
    """Return a sentence for each.

    Args:
        environment: which.
        planned: Terraform's JSON of the plan; empty when it has none, for nothing changes.
        refreshed: whether it was compared with what is there, so that AWS may be asked as well.
    """
    if environment.emulated:
        return []
    secrets = _secrets(environment, planned) if refreshed else ()
    return [*_alarms(environment, planned, refreshed=refreshed), *secrets]


def _alarms(environment: Environment, planned: Mapping[str, Any], *, refreshed: bool) -> Iterator[str]:
    address = environment.variables.get("alarm_email")
    if not address:
        file = f"terraform/environments/{environment.name}.tfvars"
        yield f"nobody is told of alarms: alarm_email in {file} is empty"
        return
    for each in planned.get("resource_changes", []):
        if each["type"] == SUBSCRIPTION and "create" in each["change"]["actions"]:
            yield f"AWS will send {address} a mail: no alarm arrives before its link is opened"
        elif each["type"] == SUBSCRIPTION and refreshed and (each["change"]["after"] or {}).get("pending_confirmation"):
            yield f"no alarm arrives: {address} has not opened the link in the mail that AWS sent"


def _secrets(environment: Environment, planned: Mapping[str, Any]) -> Iterator[str]:
    output = planned.get("planned_values", {}).get("outputs", {}).get(given.OUTPUT, {})
    for variable, name in (given.missing(environment, output.get("value") or {}) or {}).items():
        how = given.put(environment, name)
        yield f"{variable} has no value in {environment.name}, which only you can give; a deploy would stop: {how}"
