"""Task definitions: Terraform's template with our images, and whether that is what runs already."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.release.target import Service

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


def render(name: str, service: Service, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of RegisterTaskDefinition with the image by its digest.

    Raises:
        Failure: the template has no place for the image, or there is no digest for it.
    """
    found = copy.deepcopy(service.task_definition)
    if service.repository is None:
        return found
    places = [each for each in found["containerDefinitions"] if each.get("image") == PLACEHOLDER]
    digest = digests.get(name, "")
    if not places or not digest.startswith("sha256:"):
        raise Failure(
            f"The task definition of {name} cannot be made.",
            evidence=[f"no container has the image {PLACEHOLDER}"] if not places else [f"no digest: {digest!r}"],
            next="look into terraform/task_definitions.tf, which makes it",
            code=ExitCode.PREFLIGHT,
        )
    for each in places:
        each["image"] = f"{service.repository.url}@{digest}"
    return found


def image_of(definition: Mapping[str, Any], container: str) -> str:
    """Return the image of one container."""
    return next((str(each["image"]) for each in definition["containerDefinitions"] if each["name"] == container), "")


def differences(running: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return what would change, as `path: old -> new`; nothing when the two mean the same.

    Args:
        running: as DescribeTaskDefinition tells it.
        wanted: as RegisterTaskDefinition is to get it.
    """
    old, new = flat(normal(running)), flat(normal(wanted))
    return [
        f"{path}: {_shown(old.get(path))} -> {_shown(new.get(path))}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def normal(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition as ECS would understand it: with its defaults, without what is empty, in one order."""
    said = {key: value for key, value in definition.items() if key not in ANSWER_ONLY and value is not None}
    found = {**DEFAULTS, **said}
    platform = found.get("runtimePlatform") or {}
    found["runtimePlatform"] = {**PLATFORM_DEFAULTS, **platform}
    found["containerDefinitions"] = [_container(each) for each in found.get("containerDefinitions", [])]
    for key in ("cpu", "memory"):
        if found.get(key) is not None:
            found[key] = str(found[key])
    pruned: dict[str, Any] = _pruned(found)
    return pruned


def _container(found: Mapping[str, Any]) -> dict[str, Any]:
    container = {**CONTAINER_DEFAULTS, **{key: value for key, value in found.items() if value is not None}}
    if container.get("healthCheck"):
        container["healthCheck"] = {**HEALTH_DEFAULTS, **_pruned(container["healthCheck"])}
    container["portMappings"] = sorted(
        (_port(each) for each in container.get("portMappings") or []), key=lambda each: int(each["containerPort"])
    )
    for key, value in PAIRS.items():  # an empty value is one: as JSON it is kept
        container[key] = {each["name"]: json.dumps(each.get(value)) for each in container.get(key) or []}
    return container


def _port(found: Mapping[str, Any]) -> dict[str, Any]:
    """With awsvpc, the only network of Fargate, a port of the host is that of the container."""
    return {**PORT_DEFAULTS, "hostPort": found["containerPort"], **_pruned(found)}


def _pruned(found: Any) -> Any:
    """Without empty values, which ECS takes for absent ones; zero and false mean something."""
    if isinstance(found, Mapping):
        inner = {key: _pruned(value) for key, value in found.items()}
        return {key: value for key, value in inner.items() if value not in (None, "", [], {})}
    if isinstance(found, list):
        return [_pruned(each) for each in found]
    return found


def flat(found: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves by their path; entries with a name go by it."""
    if isinstance(found, Mapping):
        parts = {f"{path}.{key}" if path else str(key): value for key, value in found.items()}
    elif isinstance(found, list) and found and all(isinstance(each, Mapping) and "name" in each for each in found):
        parts = {f"{path}[{each['name']}]": {k: v for k, v in each.items() if k != "name"} for each in found}
    else:
        return {path: found}
    return {key: value for inner, part in parts.items() for key, value in flat(part, inner).items()}


def _shown(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
