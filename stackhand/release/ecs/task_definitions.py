"""Task definitions: with their images, compared with what runs, registered, and started by EventBridge Scheduler."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from stackhand.aws.errors import code_of, failure
from stackhand.cli.failure import ExitCode, Failure
from stackhand.release.context import Context
from stackhand.release.target import (
    Definition,
    Repository,
    Schedule,
    ServiceTarget,
    Target,
    TaskTarget,
    containers,
    short,
)


def registered(context: Context, wanted: Definition) -> str:
    """Register a task definition, and return its ARN."""
    try:
        answer = context.retry(lambda: context.ecs.register_task_definition(**wanted))
    except Exception as error:
        context.clock.check()  # an interrupt ends the retries
        raise failure(f"The task definition {wanted.get('family')} cannot be registered", error) from error
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def running(ecs: Any, arn: str) -> Definition:
    """Return a task definition as ECS has it."""
    return dict(ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"])


PLACEHOLDER = "IMAGE"
ANSWER_ONLY = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
        "deleteRequestedAt",
        "tags",
    }
)
"""What DescribeTaskDefinition adds, and nobody asked for."""
DEFAULTS: Mapping[str, Any] = {"enableFaultInjection": False}
"""What ECS fills in where a definition does not say it."""
CONTAINER_DEFAULTS: Mapping[str, Any] = {"essential": True, "cpu": 0}
"""The same of a container."""
PORT_DEFAULTS: Mapping[str, Any] = {"protocol": "tcp"}
HEALTH_DEFAULTS: Mapping[str, Any] = {"interval": 30, "timeout": 5, "retries": 3}
PLATFORM_DEFAULTS: Mapping[str, Any] = {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}
PAIRS = {"environment": "value", "secrets": "valueFrom"}
"""Lists of names and values, which ECS gives back in an order of its own."""


def render(name: str, service: ServiceTarget, digests: Mapping[str, str]) -> Definition:
    """Return the arguments of RegisterTaskDefinition with the image by its digest.

    Raises:
        Failure: the template has no place for the image, or there is no digest for it.
    """
    return _with_image(name, service, service.repository, digests.get(name, ""))


def render_job(name: str, target: Target, digests: Mapping[str, str]) -> Definition:
    """Return the same of a job, with the image of the service whose image it runs.

    Raises:
        Failure: as `render`.
    """
    job = target.jobs[name]
    images = [each.get("image") for each in containers(job.task_definition)]
    owner = job.image_of or ""
    repository = target.services[owner].repository if PLACEHOLDER in images else None
    return _with_image(name, job, repository, digests.get(owner, ""))


def _with_image(name: str, task: TaskTarget, repository: Repository | None, digest: str) -> Definition:
    definition = copy.deepcopy(task.task_definition)
    if repository is None:
        return definition
    places = [each for each in containers(definition) if each.get("image") == PLACEHOLDER]
    if not places or not digest.startswith("sha256:"):
        raise Failure(
            f"The task definition of {name} cannot be created.",
            evidence=[f"no container has the image {PLACEHOLDER}"] if not places else [f"no digest: {digest!r}"],
            next="check terraform/task_definitions.tf, which defines it",
            code=ExitCode.PREFLIGHT,
        )
    for each in places:
        each["image"] = f"{repository.url}@{digest}"
    return definition


def image_of(definition: Mapping[str, Any], container: str) -> str:
    """Return the image of one container."""
    return next((each["image"] for each in containers(definition) if each["name"] == container), "")


def differences(running: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return what would change, as `path: old -> new`; nothing when the two mean the same to ECS."""
    old, new = flat(normal(running)), flat(normal(wanted))
    return [
        f"{path}: {_shown(old.get(path))} -> {_shown(new.get(path))}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def normal(definition: Mapping[str, Any]) -> Definition:
    """Return a definition as ECS would understand it: with its defaults, without what is empty, in one order."""
    registered = {key: value for key, value in definition.items() if key not in ANSWER_ONLY and value is not None}
    complete = {**DEFAULTS, **registered}
    platform = complete.get("runtimePlatform") or {}
    complete["runtimePlatform"] = {**PLATFORM_DEFAULTS, **platform}
    complete["containerDefinitions"] = [_container(each) for each in complete.get("containerDefinitions", [])]
    for key in ("cpu", "memory"):
        if complete.get(key) is not None:
            complete[key] = str(complete[key])
    return dict(_pruned(complete))


def _container(fields: Mapping[str, Any]) -> dict[str, Any]:
    container = {**CONTAINER_DEFAULTS, **{key: value for key, value in fields.items() if value is not None}}
    if container.get("healthCheck"):
        container["healthCheck"] = {**HEALTH_DEFAULTS, **_pruned(container["healthCheck"])}
    container["portMappings"] = sorted(
        (_port(each) for each in container.get("portMappings") or []), key=lambda each: int(each["containerPort"])
    )
    for key, value in PAIRS.items():  # an empty value is one: as JSON it is kept
        container[key] = {each["name"]: json.dumps(each.get(value)) for each in container.get(key) or []}
    return container


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    """With awsvpc, the only network of Fargate, a port of the host is that of the container."""
    return {**PORT_DEFAULTS, "hostPort": port["containerPort"], **_pruned(port)}


def _pruned(item: Any) -> Any:
    """Without empty values, which ECS takes for absent ones; zero and false mean something."""
    if isinstance(item, Mapping):
        inner = {key: _pruned(value) for key, value in item.items()}
        return {key: value for key, value in inner.items() if value not in (None, "", [], {})}
    if isinstance(item, list):
        return [_pruned(each) for each in item]
    return item


def flat(item: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves by their path; entries with a name go by it."""
    if isinstance(item, Mapping):
        parts = {f"{path}.{key}" if path else str(key): value for key, value in item.items()}
    elif isinstance(item, list) and item and all(isinstance(each, Mapping) and "name" in each for each in item):
        parts = {f"{path}[{each['name']}]": {k: v for k, v in each.items() if k != "name"} for each in item}
    else:
        return {path: item}
    return {key: value for inner, part in parts.items() for key, value in flat(part, inner).items()}


def _shown(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)


def active(ecs: Any, arn: str) -> str:
    """Return a task definition that may be used: the one we mean, or its like when somebody has retired it."""
    definition = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    if definition.get("status", "ACTIVE") == "ACTIVE":
        return arn
    wanted = {key: value for key, value in definition.items() if key not in ANSWER_ONLY and value not in (None, "", [])}
    return str(ecs.register_task_definition(**wanted)["taskDefinition"]["taskDefinitionArn"])


UNKNOWN_DEFINITION = "ClientException"
"""What DescribeTaskDefinition answers to a task definition that was deleted."""


def lacks(context: Context, name: str, arn: str) -> list[str]:
    """Return that ECS no longer has a task definition, if that is so."""
    try:
        context.retry(lambda: context.ecs.describe_task_definition(taskDefinition=arn))
    except Exception as error:
        if code_of(error) != UNKNOWN_DEFINITION:
            raise
        return [f"{name}: ECS no longer has the task definition {short(arn)}"]
    return []


ENABLED, DISABLED = "ENABLED", "DISABLED"
NOT_FOUND = "ResourceNotFoundException"
KEPT = (
    *("Name", "GroupName", "Description", "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "EndDate"),
    *("FlexibleTimeWindow", "KmsKeyArn", "ActionAfterCompletion"),
)
"""What UpdateSchedule has to be given again: it takes what is left out for empty."""


class ScheduleState:
    """A schedule as AWS has it.

    Args:
        answer: of GetSchedule; empty when there is no such schedule.
    """

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.exists = bool(answer)
        parameters = (answer.get("Target") or {}).get("EcsParameters") or {}
        self.definition = str(parameters.get("TaskDefinitionArn") or "")

    @property
    def released(self) -> str:
        """The task definition that it starts; empty before the first release, for Terraform makes it without any."""
        enabled = self.answer.get("State") == ENABLED and is_released(self.definition)
        return self.definition if enabled else ""


def is_released(definition: str) -> bool:
    """Whether an ARN names a revision, as a release does, and not only the family."""
    return ":" in short(definition)


def schedule_of(context: Context, schedule: Schedule) -> ScheduleState:
    """Return a schedule as AWS has it."""
    scheduler = context.environment.client("scheduler")
    try:
        answer = context.retry(partial(scheduler.get_schedule, Name=schedule.name, GroupName=schedule.group))
    except Exception as error:
        if code_of(error) != NOT_FOUND:
            raise
        return ScheduleState({})
    return ScheduleState({key: value for key, value in answer.items() if key != "ResponseMetadata"})


def set_schedule(context: Context, schedule: Schedule, definition: str, state: str = ENABLED) -> bool:
    """Have a schedule start a task definition, and return whether there is such a schedule."""
    current = schedule_of(context, schedule)
    if not current.exists:
        return False
    target = current.answer["Target"]
    target = {**target, "EcsParameters": {**target["EcsParameters"], "TaskDefinitionArn": definition}}
    kept = {key: current.answer[key] for key in KEPT if current.answer.get(key)}
    scheduler = context.environment.client("scheduler")
    context.retry(partial(scheduler.update_schedule, **kept, Target=target, State=state))
    return True
