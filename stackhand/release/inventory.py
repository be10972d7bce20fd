"""The services that the cluster has, whichever release brought them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stackhand.aws.errors import code_of, message_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release import snapshots
from stackhand.release.context import Context
from stackhand.release.target import Target
from stackhand.release.verdict import Deployment


@dataclass(frozen=True)
class Inventory:
    """The active services of a cluster.

    Args:
        services: what DescribeServices returns of each, by ECS's names.
        note: why there may be more; empty when these are all.
    """

    services: Mapping[str, Mapping[str, Any]]
    note: str = ""

    def primary(self, service: str) -> Deployment | None:
        """Return the deployment that ECS works towards; none when the cluster does not have the service."""
        return snapshots.snapshot(self.services.get(service), 0).primary

    def missing(self, target: Target) -> list[str]:
        """Return the services of a release that the cluster does not have, by the Compose file's names."""
        return [name for name, each in target.services.items() if each.service not in self.services]

    def others(self, target: Target) -> dict[str, str]:
        """Return the services that a release does not have, with the task definition of each, by ECS's names."""
        known = {each.service for each in target.services.values()}
        found = {service: self.primary(service) for service in sorted(self.services.keys() - known)}
        return {service: each.task_definition if each else "" for service, each in found.items()}

    def idle(self, target: Target) -> list[str]:
        """Return the services of a release that are scaled to 0 tasks, by the Compose file's names."""
        found = {name: self.services.get(each.service) for name, each in target.services.items()}
        return [name for name, each in found.items() if each and int(each.get("desiredCount", 0)) == 0]


def take(ecs: Any, cluster: str, known: Iterable[str]) -> Inventory:
    """Return the active services of a cluster.

    Args:
        ecs: boto3's client.
        cluster: its name.
        known: services to ask for, also when ECS may not list all.
    """
    from stackhand.aws.errors import CANNOT_TELL

    names, note = set(known), ""
    try:
        pages = ecs.get_paginator("list_services").paginate(cluster=cluster)
        names |= {arn.rpartition("/")[2] for page in pages for arn in page["serviceArns"]}
    except Exception as error:
        if code_of(error) not in CANNOT_TELL:
            raise
        note = f"not checked, other services of the cluster {cluster}: {message_of(error)}"
    found = snapshots.describe(ecs, cluster, sorted(names))
    return Inventory({name: each for name, each in found.items() if each.get("status") == "ACTIVE"}, note)


def of(context: Context, target: Target, *more: Target) -> Inventory:
    """Return the active services of the cluster that a release goes to; asked for also with more releases' names."""
    known = [each.service for one in (target, *more) for each in one.services.values()]
    return context.retry(lambda: take(context.ecs, target.cluster, known))


def require_tasks(
    context: Context, target: Target, found: Inventory, definitions: Mapping[str, str] | None = None
) -> None:
    """Refuse to wait for services that are scaled to 0: no task would run, and nothing would answer.

    Args:
        context: where.
        target: the release.
        found: what the cluster has.
        definitions: what each service is to run; those that it is on now, when there are none.

    Raises:
        Failure: a service is scaled to 0.
    """
    if idle := found.idle(target):
        raise Failure(
            f"{target.environment} has services that are scaled to 0 tasks; nothing was touched.",
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
    of = f" --task-definition {definition}" if definition else ""
    return f"aws ecs update-service {where} --desired-count {max(1, service.min)}{of}"


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


def reasons(found: Mapping[str, Any]) -> list[str]:
    """Return what in a scalable target keeps a service at 0 tasks."""
    suspended = (found.get("SuspendedState") or {}).get("DynamicScalingOutSuspended")
    allowed = int(found.get("MinCapacity", 1)) == 0
    return ["its autoscaling allows 0"] * allowed + ["its autoscaling is suspended"] * bool(suspended)
