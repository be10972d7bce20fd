"""An ECS cluster: its services, whichever release brought them, and their tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from stackhand.aws.errors import CANNOT_TELL, code_of, message_of
from stackhand.aws.waiting import ONCE, Retry
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.target import Context, Target, TaskTarget
from stackhand.release.verdict import PRIMARY, Deployment, Order, Snapshot

UNKNOWN_ROLE = "unable to assume the role"
"""What ECS says of a role that Terraform made seconds ago: IAM needs some until it is known everywhere."""
SERVICES_AT_ONCE = 10
"""As many services as DescribeServices takes at once."""
TASKS_AT_ONCE = 100
EVENTS = 20
NEWEST_STOPPED = 3


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

    def others(self, target: Target) -> dict[str, str]:
        """Return the services that a release does not have, with the task definition of each, by ECS's names."""
        known = {each.service for each in target.services.values()}
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


class Cluster:
    """The services and tasks of an ECS cluster.

    Args:
        retry: how long to ask while ECS is busy.
    """

    def __init__(self, ecs: Any, name: str, retry: Retry = ONCE) -> None:
        self.ecs, self.name, self.retry = ecs, name, retry

    def services(self, names: Iterable[str]) -> dict[str, ServiceState]:
        """Return the state of each service; one that the cluster does not have is missing."""
        return {name: ServiceState.of(each) for name, each in self._describe(list(names)).items()}

    def service(self, name: str) -> ServiceState:
        """Return the state of a service."""
        return self.services([name]).get(name, ABSENT)

    def inventory(self, known: Iterable[str]) -> Inventory:
        """Return all active services: the known ones also when ECS may not list the others."""
        names, note = set(known), ""
        try:
            names |= self.retry(self._names)
        except Exception as error:
            if code_of(error) not in CANNOT_TELL:
                raise
            note = f"not checked, other services of the cluster {self.name}: {message_of(error)}"
        states = self.services(sorted(names))
        return Inventory({name: each for name, each in states.items() if each.active}, note)

    def update(
        self, service: str, task_definition: str, *, force: bool, network: Mapping[str, Any] | None = None
    ) -> ServiceState:
        """Request a deployment once, and return the state that ECS answers with.

        Args:
            service: in ECS.
            task_definition: of the deployment.
            force: replace the tasks even when that is the old one.
            network: how it is reached, and at which port of the definition: `ServiceTarget.network`.
        """
        answer = self.ecs.update_service(
            cluster=self.name,
            service=service,
            taskDefinition=task_definition,
            forceNewDeployment=force,
            **(network or {}),
        )
        return ServiceState.of(answer["service"])

    def newest_task(self, service: str) -> str:
        """Return the ARN of the running task that was started last; empty when none runs."""
        running = [each for each in self._tasks(service, "RUNNING") if each.get("lastStatus") == "RUNNING"]
        newest = max(running, key=lambda each: str(each.get("startedAt") or ""), default={})
        return str(newest.get("taskArn", ""))

    def start_task(
        self, task: TaskTarget, definition: str, *, command: list[str], started_by: str, token: str
    ) -> tuple[str, list[str]]:
        """Start a task once; return its ARN, or an empty one and why ECS started none.

        Args:
            task: where it runs, and its container.
            definition: its task definition.
            command: in place of the container's own; empty for that.
            started_by: what ECS lists it under.
            token: with the same one ECS starts no second task.
        """
        network = {"subnets": task.subnets, "securityGroups": task.security_groups, "assignPublicIp": "DISABLED"}
        try:
            answer = self.ecs.run_task(
                cluster=self.name,
                taskDefinition=definition,
                launchType="FARGATE",
                count=1,
                startedBy=started_by,
                networkConfiguration={"awsvpcConfiguration": network},
                overrides={"containerOverrides": [{"name": task.container, "command": command}]} if command else {},
                clientToken=token,
            )
        except Exception as error:
            if UNKNOWN_ROLE not in message_of(error):
                raise
            return "", [message_of(error)]
        if answer.get("tasks"):
            return str(answer["tasks"][0]["taskArn"]), []
        reasons = [
            f"{each.get('reason', 'no reason given')} {each.get('detail', '')} {each.get('arn', '')}".strip()
            for each in answer.get("failures", [])
        ]
        return "", reasons or ["ECS started no task and gave no reason"]

    def tasks_started_by(self, started_by: str) -> list[str]:
        """Return the ARNs of the tasks that were started under a name."""
        return list(self.ecs.list_tasks(cluster=self.name, startedBy=started_by)["taskArns"])

    def stopped(self, task: str) -> StoppedTask | None:
        """Return a task once it has stopped; ECS may not know yet one that it has just started."""
        tasks = self.ecs.describe_tasks(cluster=self.name, tasks=[task]).get("tasks")
        return StoppedTask.of(tasks[0]) if tasks and tasks[0].get("lastStatus") == "STOPPED" else None

    def stop_task(self, task: str, reason: str) -> None:
        """Have a task stopped."""
        self.ecs.stop_task(cluster=self.name, task=task, reason=reason)

    def execute(self, task: str, container: str, command: str) -> dict[str, Any]:
        """Start a command in a container of a task, and return the session to talk to it."""
        answer = self.ecs.execute_command(
            cluster=self.name, task=task, container=container, command=command, interactive=True
        )
        return dict(answer["session"])

    def stopped_tasks(self, service: str, order: Order) -> list[StoppedTask]:
        """Return the newest stopped tasks of the deployment that was requested, and of no other."""
        ours = [each for each in self._tasks(service, "STOPPED") if started_for(each, order)]
        ours.sort(key=lambda each: str(each.get("stoppedAt") or each.get("createdAt") or ""), reverse=True)
        return [StoppedTask.of(each) for each in ours[:NEWEST_STOPPED]]

    def _names(self) -> set[str]:
        pages = self.ecs.get_paginator("list_services").paginate(cluster=self.name)
        return {arn.rpartition("/")[2] for page in pages for arn in page["serviceArns"]}

    def _describe(self, names: list[str]) -> dict[str, dict[str, Any]]:
        def ask(batch: list[str]) -> list[dict[str, Any]]:
            return list(self.ecs.describe_services(cluster=self.name, services=batch)["services"])

        return {each["serviceName"]: each for each in self._batched(ask, names, SERVICES_AT_ONCE)}

    def _tasks(self, service: str, status: str) -> list[dict[str, Any]]:
        def ask(batch: list[str]) -> list[dict[str, Any]]:
            return list(self.ecs.describe_tasks(cluster=self.name, tasks=batch)["tasks"])

        arns = self.ecs.list_tasks(cluster=self.name, serviceName=service, desiredStatus=status).get("taskArns", [])
        return self._batched(ask, arns, TASKS_AT_ONCE)

    def _batched(
        self, ask: Callable[[list[str]], list[dict[str, Any]]], names: list[str], size: int
    ) -> list[dict[str, Any]]:
        batches = [names[start : start + size] for start in range(0, len(names), size)]
        return [each for batch in batches for each in self.retry(partial(ask, batch))]


def of(context: Context, target: Target) -> Cluster:
    """Return the cluster that a release goes to; it is asked for as long as services may take."""
    return Cluster(context.ecs, target.cluster, context.retry)


def inventory_of(context: Context, *targets: Target) -> Inventory:
    """Return the active services of the cluster that releases go to."""
    return of(context, targets[0]).inventory(each.service for one in targets for each in one.services.values())


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


def started_for(task: Mapping[str, Any], order: Order) -> bool:
    """Whether a task was started for a requested deployment: ECS says so, and an emulator only its definition."""
    started_by = str(task.get("startedBy", ""))
    if started_by.startswith("ecs-svc/"):
        return started_by == order.deployment
    return str(task.get("taskDefinitionArn", "")) == order.task_definition


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
