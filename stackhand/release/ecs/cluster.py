"""An ECS cluster: its services, whichever release brought them, their tasks, and the logs of these in CloudWatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from stackhand.aws.errors import CANNOT_TELL, code_of, message_of, transient
from stackhand.aws.waiting import ONCE, Retry
from stackhand.release.context import Context
from stackhand.release.ecs.states import ABSENT, Inventory, ServiceState, StoppedTask, started_for
from stackhand.release.target import Target, TaskTarget, short
from stackhand.release.verdict import DeploymentRequest

UNKNOWN_ROLE = "unable to assume the role"
"""What ECS says of a role that Terraform made seconds ago: IAM needs some until it is known everywhere."""
SERVICES_AT_ONCE = 10
"""As many services as DescribeServices takes at once."""
TASKS_AT_ONCE = 100
NEWEST_STOPPED = 3
TAIL = 30
"""Lines of a log."""


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

    def stopped_tasks(self, service: str, request: DeploymentRequest) -> list[StoppedTask]:
        """Return the newest stopped tasks of the deployment that was requested, and of no other."""
        ours = [each for each in self._tasks(service, "STOPPED") if started_for(each, request)]
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


def _stream(service: TaskTarget, task: str) -> str:
    """Return the log stream of a task's main container."""
    return f"{service.log_stream_prefix}/{service.container}/{short(task)}"


def log_tail(logs: Any, service: TaskTarget, task: str) -> list[str]:
    """Return the last lines of the main container of a task, given by ARN or id; nothing when it never wrote any."""
    try:
        answer = logs.get_log_events(
            logGroupName=service.log_group, logStreamName=_stream(service, task), limit=TAIL, startFromHead=False
        )
    except Exception as error:
        if code_of(error) == "ResourceNotFoundException":
            return []
        if transient(error) or code_of(error) == "AccessDeniedException":
            return [f"(its log cannot be read: {code_of(error) or error})"]
        raise
    return [str(each["message"]).rstrip("\n") for each in answer["events"]][-TAIL:]


class LogFollower:
    """Reads what the main container of a task adds to its log.

    Args:
        task: ARN or id.
    """

    def __init__(self, logs: Any, service: TaskTarget, task: str) -> None:
        self.logs, self.service = logs, service
        self.stream = _stream(service, task)
        self.token: str | None = None
        self._reported = ""

    def new_lines(self) -> list[str]:
        """Return what was added since the last call; nothing while there is no log yet.

        A log that cannot be read is reported once: whoever follows it waits for something else.
        """
        position: dict[str, Any] = {"nextToken": self.token} if self.token else {"startFromHead": True}
        try:
            answer = self.logs.get_log_events(
                logGroupName=self.service.log_group, logStreamName=self.stream, **position
            )
        except Exception as error:
            code = code_of(error)
            if code == "ResourceNotFoundException" or transient(error) or self._reported:
                return []
            self._reported = f"(its log cannot be read: {code or error})"
            return [self._reported]
        self.token = answer.get("nextForwardToken", self.token)
        return [str(each["message"]).rstrip("\n") for each in answer["events"]]
