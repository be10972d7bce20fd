"""Where a release goes: Terraform's output `release`, typed. Nothing in it is secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypedDict

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.stack import probes
from stackhand.project.stack.probes import Questions, Web
from stackhand.project.stack.xaws import Probe
from stackhand.release.manifest import Manifest

Definition = dict[str, Any]  # the arguments of RegisterTaskDefinition
PARAMETER = re.compile(r"(?:arn:[^:]+:ssm:[^:]*:[^:]*:parameter)?(/?.+)")


class Repository(msgspec.Struct, frozen=True):
    """An ECR repository."""

    name: str
    url: str


class ContainerDefinition(TypedDict, total=False):
    """A container of a task definition, as far as we read it: ECS gets all that Terraform says of it."""

    name: str
    image: str
    secrets: list[dict[str, str]] | None
    portMappings: list[dict[str, Any]] | None
    healthCheck: dict[str, Any] | None


def containers(definition: Mapping[str, Any]) -> list[ContainerDefinition]:
    """Return the containers of a task definition."""
    return definition.get("containerDefinitions") or []


class TaskTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What runs as a task on ECS.

    Args:
        container: the main container's name in the task definition.
        task_definition: in which the image of a service that is built is IMAGE.
        log_group: of its containers.
        log_stream_prefix: a container's stream is PREFIX/CONTAINER/TASKID.
    """

    container: str
    task_definition: Definition
    log_group: str
    log_stream_prefix: str
    subnets: list[str] = []
    security_groups: list[str] = []


class Schedule(msgspec.Struct, frozen=True):
    """A schedule of EventBridge Scheduler; `expression` is for people."""

    name: str
    group: str
    expression: str


class JobTarget(TaskTarget, frozen=True, kw_only=True):
    """A task that runs to its end: before each rollout of some services, by a schedule, or both.

    Args:
        image_of: the service whose image it runs; none for an image of somebody else.
        services: those that wait for it.
        timeout: seconds that it may take; none for the usual limit.
        schedule: what starts it.
    """

    image_of: str | None = None
    services: list[str] = []
    timeout: float | None = None
    schedule: Schedule | None = None


class ServiceTarget(TaskTarget, frozen=True, kw_only=True):
    """One ECS service.

    Args:
        service: its name in the cluster.
        repository: of its image; none when somebody else builds it.
        target_group: ARN; none when nothing is sent to it from outside.
        port: that the container listens at; none of a worker.
        health_path: asked by the load balancer.
        paths: that the load balancer sends to it.
        host: the host names for which it does; any, where there are none.
        min: fewest tasks; `max`, most.
        migrate: the command that brings the database up to date.
        migrate_timeout: seconds that it may take; none for the usual limit.
        probe: what a release is asked from outside, as `x-aws.probe` says.
        connection: how other services reach it by its name, as UpdateService takes it. Releases of an earlier version
            have none, and no name of a port in their definitions.
    """

    service: str
    repository: Repository | None = None
    target_group: str | None = None
    port: int | None = None
    health_path: str | None = None
    paths: list[str] = []
    host: list[str] = []
    min: int = 1
    max: int = 1
    migrate: list[str] | None = None
    migrate_timeout: float | None = None
    probe: Probe | bool = True
    connection: dict[str, Any] = msgspec.field(default_factory=lambda: {"enabled": False})

    @property
    def protocols(self) -> dict[str, str]:
        """In which protocol other services speak to each of its ports, by the port's name."""
        mappings = [port for each in containers(self.task_definition) for port in each.get("portMappings") or []]
        return {port["name"]: port.get("appProtocol", "tcp") for port in mappings if "name" in port}

    @property
    def checked(self) -> bool:
        """Whether ECS itself sees that it works, by the health check of a container or of the load balancer."""
        checks = filter(None, (each.get("healthCheck") for each in containers(self.task_definition)))
        return self.target_group is not None or any(checks)

    def network(self) -> dict[str, Any]:
        """Return what sends requests to it, for UpdateService: together with the definition that has the port."""
        group = {"targetGroupArn": self.target_group, "containerName": self.container, "containerPort": self.port}
        reached = self.target_group is not None and self.port is not None
        return {"loadBalancers": [group] if reached else [], "serviceConnectConfiguration": self.connection}


class Target(msgspec.Struct, frozen=True):
    """An environment as Terraform made it."""

    stack: str
    environment: str
    region: str
    account: str
    url: str
    cluster: str
    architecture: str
    services: dict[str, ServiceTarget]
    jobs: dict[str, JobTarget] = {}

    def tasks(self) -> dict[str, TaskTarget]:
        """Return all that runs, services and jobs, by name."""
        return {**self.services, **self.jobs}

    def questions(self) -> Questions:
        """Return what a release is asked from outside."""
        return probes.of(
            {name: Web(each.paths, each.health_path, each.probe, each.host) for name, each in self.services.items()}
        )

    def parameters(self) -> dict[str, list[str]]:
        """Return the SSM parameters that services and jobs read at their start, and who reads each."""
        parameters: dict[str, list[str]] = {}
        for name, task in self.tasks().items():
            for container in containers(task.task_definition):
                for each in container.get("secrets") or []:
                    match = PARAMETER.fullmatch(each["valueFrom"])
                    if match and ":secretsmanager:" not in each["valueFrom"]:
                        parameters.setdefault(match[1], []).append(name)
        return parameters

    def built(self) -> dict[str, ServiceTarget]:
        """Return the services whose images we build."""
        return {name: service for name, service in self.services.items() if service.repository}

    def repositories(self) -> dict[str, Repository]:
        """Return the repositories of those services."""
        return {name: service.repository for name, service in self.services.items() if service.repository}


def parse(output: Mapping[str, Any]) -> Target:
    """Return the target that Terraform's output describes.

    Raises:
        Failure: it is not the output we know.
    """
    try:
        return msgspec.convert(dict(output), Target)
    except msgspec.ValidationError as error:
        name = output.get("environment", "ENVIRONMENT")
        raise Failure(
            "Terraform's output `release` is not valid for a deploy.",
            evidence=[str(error)],
            next=f"./inv plan -e {name} shows what Terraform would change; an apply updates the output",
            code=ExitCode.PREFLIGHT,
        ) from error


NO_TROUBLE = frozenset({"healthy", "draining", "unused"})


class TargetHealth(msgspec.Struct, frozen=True):
    """A task as the load balancer sees it."""

    id: str
    port: int | None
    state: str
    reason: str
    description: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> TargetHealth:
        """Return the health in an entry of DescribeTargetHealth."""
        target, health = answer["Target"], answer["TargetHealth"]
        state, reason, description = (str(health.get(key, "")) for key in ("State", "Reason", "Description"))
        return cls(str(target["Id"]), target.get("Port"), state, reason, description)

    def line(self) -> str:
        """Return it as a line of a report."""
        where = self.id if self.port is None else f"{self.id}:{self.port}"
        return f"{where} {self.state}: {self.reason} {self.description}".rstrip(" :")


class Targets:
    """The target groups of an environment."""

    def __init__(self, balancer: Any, target: Target) -> None:
        self.balancer, self.target = balancer, target

    def summary(self, name: str) -> str:
        """Say how many of a service's tasks are healthy; nothing when it has no targets, or nobody may know."""
        from stackhand.aws.exceptions import BotoCoreError, ClientError

        try:
            health = self.of(self.target.services[name])
        except (BotoCoreError, ClientError):  # it is only progress
            return ""
        healthy = sum(each.state == "healthy" for each in health)
        return f", {healthy}/{len(health)} targets healthy" if health else ""

    def troubles(self, service: ServiceTarget) -> list[str]:
        """Return what is wrong with the tasks that are not healthy, three of them at most."""
        return [each.line() for each in self.of(service) if each.state not in NO_TROUBLE][:3]

    def of(self, service: ServiceTarget) -> list[TargetHealth]:
        """Return the targets of a service."""
        if not service.target_group:
            return []
        answer = self.balancer.describe_target_health(TargetGroupArn=service.target_group)
        return [TargetHealth.of(each) for each in answer["TargetHealthDescriptions"]]


def short(arn: str) -> str:
    """Return a task definition as family and revision, or another ARN as its last part."""
    return arn.rpartition("/")[2]


def target_of(manifest: Manifest) -> Target:
    """Return where a release went."""
    return parse(manifest.target)
