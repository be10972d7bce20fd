"""What ECS answers, as types: the state of a service, a stopped task, the services of a cluster, those scaled to 0."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.context import Context
from stackhand.release.target import Target
from stackhand.release.verdict import PRIMARY, Deployment, DeploymentRequest, Snapshot

EVENTS = 20


@dataclass(frozen=True)
class ServiceState(Snapshot):
    """A service as ECS describes it now.

    Args:
        desired: tasks that it is to have.
        running: tasks that it has.
        returns: whether ECS rolls a failed deployment back by itself.
        created: when each deployment was created, by its id.
    """

    desired: int = 0
    running: int = 0
    returns: bool = False
    created: Mapping[str, datetime] = field(default_factory=dict)

    @classmethod
    def of(cls, service: Mapping[str, Any]) -> ServiceState:
        """Return the state in an answer of ECS."""
        deployments = service.get("deployments", [])
        primary: Mapping[str, Any] = next((each for each in deployments if each.get("status") == PRIMARY), {})
        breaker = (service.get("deploymentConfiguration") or {}).get("deploymentCircuitBreaker") or {}
        return cls(
            at=0.0,
            deployments=tuple(map(_deployment, deployments)),
            active=service.get("status") == "ACTIVE",
            events=tuple(str(each.get("message", "")) for each in service.get("events", [])[:EVENTS]),
            desired=int(service.get("desiredCount", 0)),
            running=int(service.get("runningCount", primary.get("runningCount", 0))),
            returns=bool(breaker.get("enable") and breaker.get("rollback")),
            created={each["id"]: each["createdAt"] for each in deployments if each.get("createdAt")},
        )


ABSENT = ServiceState(0.0, active=False)
"""The state of a service that the cluster does not have."""


@dataclass(frozen=True)
class Inventory:
    """The active services of a cluster.

    Args:
        services: by ECS's names.
        note: why there may be more; empty when these are all.
    """

    services: Mapping[str, ServiceState]
    note: str = ""

    def primary(self, service: str) -> Deployment | None:
        """Return the deployment that ECS works towards; none when the cluster does not have the service."""
        return self.services.get(service, ABSENT).primary

    def missing(self, target: Target) -> list[str]:
        """Return the services of a release that the cluster does not have, by the Compose file's names."""
        return [name for name, each in target.services.items() if each.service not in self.services]

    def others(self, *targets: Target) -> dict[str, str]:
        """Return the services that releases do not have, with the task definition of each, by ECS's names."""
        known = {each.service for target in targets for each in target.services.values()}
        primaries = {service: self.primary(service) for service in sorted(self.services.keys() - known)}
        return {service: each.task_definition if each else "" for service, each in primaries.items()}

    def idle(self, target: Target) -> list[str]:
        """Return the services of a release that are scaled to 0 tasks, by the Compose file's names."""
        states = {name: self.services.get(each.service) for name, each in target.services.items()}
        return [name for name, state in states.items() if state and state.desired == 0]


@dataclass(frozen=True)
class StoppedTask:
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

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> StoppedTask:
        """Return the task in an answer of ECS."""
        containers = tuple(
            (str(each["name"]), each.get("exitCode"), str(each.get("reason") or ""))
            for each in task.get("containers", [])
        )
        number = str(task["taskArn"]).rpartition("/")[2]
        return cls(number, str(task.get("stopCode") or ""), str(task.get("stoppedReason") or ""), containers)

    def exit_code(self, container: str) -> int | None:
        """Return the exit code of a container, and of no other one; none when it never ran."""
        return next((code for name, code, _ in self.containers if name == container and code is not None), None)

    def reasons(self) -> list[str]:
        """Return why it stopped, and why each of its containers did, in ECS's words."""
        return list(filter(None, [self.reason, *(reason for _, _, reason in self.containers)]))

    def lines(self) -> list[str]:
        """Return it as lines of a report."""
        head = f"task {self.id[:12]} {self.code or 'stopped'}: {self.reason or 'no reason given'}"
        return [head] + [
            f"  container {name}: exit code {'none' if code is None else code}{f', {reason}' if reason else ''}"
            for name, code, reason in self.containers
        ]


def started_for(task: Mapping[str, Any], request: DeploymentRequest) -> bool:
    """Whether a task was started for a requested deployment: ECS says so, and an emulator only its definition."""
    started_by = str(task.get("startedBy", ""))
    if started_by.startswith("ecs-svc/"):
        return started_by == request.deployment
    return str(task.get("taskDefinitionArn", "")) == request.task_definition


def _deployment(deployment: Mapping[str, Any]) -> Deployment:
    return Deployment(
        id=str(deployment["id"]),
        status=str(deployment.get("status", "")),
        rollout=str(deployment.get("rolloutState", "")),
        task_definition=str(deployment.get("taskDefinition", "")),
        reason=str(deployment.get("rolloutStateReason", "")),
        desired=int(deployment.get("desiredCount", 0)),
        running=int(deployment.get("runningCount", 0)),
        pending=int(deployment.get("pendingCount", 0)),
        failed=int(deployment.get("failedTasks", 0)),
    )


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
