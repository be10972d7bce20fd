"""The services that the cluster has, whichever release brought them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stackhand.aws.errors import code_of, message_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.target import Context, Target
from stackhand.release.verdict import Deployment, Order, Snapshot


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
        return snapshot(self.services.get(service), 0).primary

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


def services_of(ecs: Any, cluster: str, known: Iterable[str]) -> Inventory:
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
    found = describe(ecs, cluster, sorted(names))
    return Inventory({name: each for name, each in found.items() if each.get("status") == "ACTIVE"}, note)


def inventory_of(context: Context, target: Target, *more: Target) -> Inventory:
    """Return the active services of the cluster that a release goes to; asked for also with more releases' names."""
    known = [each.service for one in (target, *more) for each in one.services.values()]
    return context.retry(lambda: services_of(context.ecs, target.cluster, known))


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
    inventory_of = f" --task-definition {definition}" if definition else ""
    return f"aws ecs update-service {where} --desired-count {max(1, service.min)}{inventory_of}"


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


BATCH = 10
"""As many services as DescribeServices takes at once."""
EVENTS = 20


def describe(ecs: Any, cluster: str, services: list[str]) -> dict[str, dict[str, Any]]:
    """Return what ECS says of each service; one that it does not know is missing."""
    found = {}
    for start in range(0, len(services), BATCH):
        answer = ecs.describe_services(cluster=cluster, services=services[start : start + BATCH])
        found.update({each["serviceName"]: each for each in answer["services"]})
    return found


def snapshot(found: Mapping[str, Any] | None, at: float) -> Snapshot:
    """Return one service's snapshot.

    Args:
        found: its entry in the answer; none when ECS does not know it.
        at: seconds since UpdateService returned.
    """
    if found is None:
        return Snapshot(at, active=False)
    deployments = tuple(deployment(each) for each in found.get("deployments", []))
    events = tuple(str(each.get("message", "")) for each in found.get("events", [])[:EVENTS])
    return Snapshot(at, deployments, found.get("status") == "ACTIVE", events)


def deployment(found: Mapping[str, Any]) -> Deployment:
    """Return one entry of a service's deployments."""
    return Deployment(
        id=str(found["id"]),
        status=str(found.get("status", "")),
        rollout=str(found.get("rolloutState", "")),
        task_definition=str(found.get("taskDefinition", "")),
        reason=str(found.get("rolloutStateReason", "")),
        desired=int(found.get("desiredCount", 0)),
        running=int(found.get("runningCount", 0)),
        pending=int(found.get("pendingCount", 0)),
        failed=int(found.get("failedTasks", 0)),
    )


NEWEST_STOPPED = 3


TASKS_AT_ONCE = 100


@dataclass(frozen=True)
class Stopped:
    """A task that stopped.

    Args:
        id: of ECS.
        code: its stop code.
        reason: why, in ECS's words.
        containers: name, exit code and reason of each.
    """

    id: str
    code: str
    reason: str
    containers: tuple[tuple[str, int | None, str], ...]

    def words(self) -> list[str]:
        """Return it as lines of a report."""
        head = f"task {self.id[:12]} {self.code or 'stopped'}: {self.reason or 'no reason given'}"
        return [head] + [
            f"  container {name}: exit code {'none' if code is None else code}{f', {reason}' if reason else ''}"
            for name, code, reason in self.containers
        ]


def newest_stopped(ecs: Any, cluster: str, service: str, order: Order) -> list[Stopped]:
    """Return the newest stopped tasks of the deployment we ordered, and of no other."""
    arns: list[str] = ecs.list_tasks(cluster=cluster, serviceName=service, desiredStatus="STOPPED").get("taskArns", [])
    found: list[dict[str, Any]] = []
    for start in range(0, len(arns), TASKS_AT_ONCE):
        found += ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + TASKS_AT_ONCE])["tasks"]
    ours = [each for each in found if is_of(each, order)]
    ours.sort(key=lambda each: str(each.get("stoppedAt") or each.get("createdAt") or ""), reverse=True)
    return [_stopped(each) for each in ours[:NEWEST_STOPPED]]


def is_of(task: Mapping[str, Any], order: Order) -> bool:
    """Whether a task was started for the deployment we ordered: ECS says so, and an emulator only its definition."""
    started_by = str(task.get("startedBy", ""))
    if started_by.startswith("ecs-svc/"):
        return started_by == order.deployment
    return str(task.get("taskDefinitionArn", "")) == order.task_definition


def _stopped(task: Mapping[str, Any]) -> Stopped:
    containers = tuple(
        (str(each["name"]), each.get("exitCode"), str(each.get("reason") or "")) for each in task.get("containers", [])
    )
    number = str(task["taskArn"]).rpartition("/")[2]
    return Stopped(number, str(task.get("stopCode") or ""), str(task.get("stoppedReason") or ""), containers)
