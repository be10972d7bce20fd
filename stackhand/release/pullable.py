"""Whether the tasks of an earlier release could still start: its task definitions and images must still exist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from stackhand.aws.errors import CANNOT_TELL, code_of, message_of
from stackhand.release.context import Context, target_of
from stackhand.release.manifest import Manifest
from stackhand.release.registry import MISSING
from stackhand.release.target import Service

ECR = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+)"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]+))?"
)
UNKNOWN_DEFINITION = "ClientException"
"""What DescribeTaskDefinition answers to a task definition that was deleted."""


def check(context: Context, manifest: Manifest, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return what some services of a release lack, and what could not be checked."""
    problems: list[str] = []
    notes: list[str] = []
    services = target_of(manifest).services
    for name in names:
        part = manifest.services[name]
        problems += _definition(context, name, part.task_definition)
        problem, note = _image(context, name, services[name], part.image)
        problems += [problem] * bool(problem)
        notes += [note] * bool(note)
    return problems, notes


def _definition(context: Context, name: str, arn: str) -> list[str]:
    try:
        context.retry(lambda: context.ecs.describe_task_definition(taskDefinition=arn))
    except Exception as error:
        if code_of(error) != UNKNOWN_DEFINITION:
            raise
        return [f"{name}: ECS no longer has the task definition {arn.rpartition('/')[2]}"]
    return []


def _image(context: Context, name: str, service: Service, image: str) -> tuple[str, str]:
    """Return what is wrong with an image, or why that is not known; one of them at most."""
    question = _question(service, image)
    if question is None:
        moves = "" if "@sha256:" in image else "; its tag may have moved since"
        return "", f"not checked, image of {name}: {image} is not in ECR{moves}"
    region, arguments = question
    where = replace(context.environment, region=region or context.environment.region)
    try:
        context.retry(lambda: where.client("ecr").describe_images(**arguments))
    except Exception as error:
        if code_of(error) in MISSING:
            return f"{name}: ECR no longer has its image {image.partition('/')[2]}", ""
        if code_of(error) in CANNOT_TELL:
            return "", f"not checked, image of {name}: {message_of(error)}"
        raise
    return "", ""


def _question(service: Service, image: str) -> tuple[str, dict[str, Any]] | None:
    """Return the region to ask and the arguments of DescribeImages; none for another registry than ECR."""
    address, _, digest = image.partition("@")
    if service.repository and address == service.repository.url and digest:
        return "", {"repositoryName": service.repository.name, "imageIds": [{"imageDigest": digest}]}
    found = ECR.fullmatch(image)
    if found is None:
        return None
    which = {"imageDigest": found["digest"]} if found["digest"] else {"imageTag": found["tag"] or "latest"}
    return found["region"], {"registryId": found["account"], "repositoryName": found["name"], "imageIds": [which]}
