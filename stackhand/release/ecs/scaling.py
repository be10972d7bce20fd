"""Services that are scaled to 0 tasks: what keeps them there, and the command that scales them up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.context import Context
from stackhand.release.ecs.types import Inventory
from stackhand.release.target import Target


def require_tasks(
    context: Context, target: Target, inventory: Inventory, definitions: Mapping[str, str] | None = None
) -> None:
    """Refuse to wait for services that are scaled to 0: no task would run, and nothing would answer.

    Raises:
        Failure: a service is scaled to 0.
    """
    if idle := inventory.idle(target):
        raise Failure(
            f"{target.environment} has services scaled to 0 tasks; nothing was changed.",
            evidence=wanting_none(context.environment, target, idle),
            next=f"{scale_up(target, idle, definitions or {})}; then repeat the command",
            code=ExitCode.PREFLIGHT,
        )


def wanting_none(environment: Environment, target: Target, idle: Iterable[str]) -> list[str]:
    """Return a line for each service that is scaled to 0."""
    return [f"{name} wants 0 tasks{_autoscaling(environment, target, name)}" for name in idle]


def scale_up(target: Target, idle: Iterable[str], definitions: Mapping[str, str] | None = None) -> str:
    """Return the command that scales services up to their fewest tasks, on other definitions if they are given."""
    return " && ".join(_scaled(target, name, (definitions or {}).get(name, "")) for name in idle)


def _scaled(target: Target, name: str, definition: str) -> str:
    service = target.services[name]
    where = f"--region {target.region} --cluster {target.cluster} --service {service.service}"
    replacement = f" --task-definition {definition}" if definition else ""
    return f"aws ecs update-service {where} --desired-count {max(1, service.min)}{replacement}"


def _autoscaling(environment: Environment, target: Target, name: str) -> str:
    """Describe what in a service's autoscaling keeps it at 0; nothing when that cannot be asked."""
    from stackhand.aws.exceptions import BotoCoreError, ClientError

    resource = f"service/{target.cluster}/{target.services[name].service}"
    try:
        answer = environment.client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[resource], ScalableDimension="ecs:service:DesiredCount"
        )
    except (BotoCoreError, ClientError):  # it is only the reason
        return ""
    why = [reason for each in answer["ScalableTargets"] for reason in reasons(each)]
    return f": {' and '.join(why)}" if why else ""


def reasons(scalable_target: Mapping[str, Any]) -> list[str]:
    """Return what in a scalable target keeps a service at 0 tasks."""
    suspended = (scalable_target.get("SuspendedState") or {}).get("DynamicScalingOutSuspended")
    allowed = int(scalable_target.get("MinCapacity", 1)) == 0
    return ["its autoscaling allows 0"] * allowed + ["its autoscaling is suspended"] * bool(suspended)
