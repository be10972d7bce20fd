"""What goes where when a release is taken back, decided before any update."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from stackhand.aws.errors import CANNOT_TELL, code_of, message_of
from stackhand.infrastructure import signing_key
from stackhand.release.context import Context
from stackhand.release.ecs import cluster, states
from stackhand.release.ecs.states import Inventory
from stackhand.release.images import provenance, signature
from stackhand.release.images.registry import MISSING
from stackhand.release.manifest import Manifest
from stackhand.release.target import ServiceTarget, short, target_of


@dataclass
class Plan:
    """What goes where.

    Args:
        deployments: the task definition that each service of the failed release goes to.
        problems: why nothing can go back.
        extra: services that the good release does not have, and the task definition each ends on.
        unchanged: services of the good release that stay on something else, for the failed one does not have them.
        lines: what else there is to report.
    """

    deployments: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def plan(context: Context, manifest: Manifest, good: Manifest) -> Plan:
    """Decide what goes where: the good release's services to its definitions, others to what they ran before."""
    plan, inventory = Plan(), cluster.inventory_of(context, target_of(manifest), target_of(good))
    _plan_good(context, plan, inventory, manifest, good)
    for name in manifest.services:
        if name not in good.services:
            _plan_added(context, plan, manifest, good, name)
    known = {**target_of(manifest).services, **target_of(good).services}
    ours = {each.service for each in known.values()}
    others = {service for service in inventory.services if service not in ours}
    for service in sorted(others):
        primary = inventory.primary(service)
        plan.extra[service] = primary.task_definition if primary else ""
        plan.lines.append(f"{service}: {good.commit[:12]} does not have it; it stays on {short(plan.extra[service])}")
    if not plan.problems:
        _plan_signed(context, plan, inventory, manifest, good)
    idle = inventory.idle(target_of(good))
    plan.lines += states.wanting_none(context.environment, target_of(good), idle)
    plan.lines += [inventory.note] * bool(inventory.note)
    return plan


def _plan_good(context: Context, plan: Plan, inventory: Inventory, manifest: Manifest, good: Manifest) -> None:
    """Plan for the services of the good release: each must exist, and must be able to start."""
    target, checked = target_of(good), []
    for name, part in good.services.items():
        primary = inventory.primary(target.services[name].service)
        if primary is None:
            plan.problems.append(f"{name}: the cluster {target.cluster} no longer has the service")
        elif name in manifest.services:
            plan.deployments[name] = part.task_definition
            checked += [name] * (primary.task_definition != part.task_definition)
        elif primary.task_definition != part.task_definition:
            plan.unchanged.append(name)
            plan.lines.append(f"{name}: {manifest.commit[:12]} does not have it; it stays unchanged")
    problems, notes = check(context, good, checked)
    plan.problems += problems
    plan.lines += notes


def _plan_added(context: Context, plan: Plan, manifest: Manifest, good: Manifest, name: str) -> None:
    """Plan for a service that the good release does not have: it goes back to what it ran before, as ECS would do."""
    before, ours = _before(context, manifest, good, name), manifest.services[name].task_definition
    plan.deployments[name] = plan.extra[name] = before
    how = "it stays on" if before == ours else "it returns to what it ran before,"
    plan.lines.append(f"{name}: {good.commit[:12]} does not have it; {how} {short(before)}")


def _plan_signed(context: Context, plan: Plan, inventory: Inventory, manifest: Manifest, good: Manifest) -> None:
    """Refuse task definitions whose images are not signed; what a service ran before this release may run again."""
    if signing_key.pinned(context.environment) is None:
        return
    fresh = {name: arn for name, arn in plan.deployments.items() if arn not in _ran(context, inventory, manifest, name)}
    checked = signature.check(
        context.environment, provenance.of_definitions(context, fresh, good.commit, manifest.commit)
    )
    plan.problems += checked.evidence()
    plan.lines += checked.notes


def _ran(context: Context, inventory: Inventory, manifest: Manifest, name: str) -> set[str]:
    """Return the task definitions that a service is known to have run, by ECS: the bucket could name any."""
    state = inventory.services.get(target_of(manifest).services[name].service, states.ABSENT)
    previous = set() if context.resumes else {manifest.services[name].previous}
    return previous | {each.task_definition for each in state.deployments}


def _before(context: Context, manifest: Manifest, good: Manifest, name: str) -> str:
    """Return what a service ran before this release, and before earlier ones since the last good one."""
    wanted = manifest.services[name].task_definition
    for release in [manifest, *context.releases.newest_first()]:
        if release.id <= good.id:
            break
        part = release.services.get(name)
        if part and part.task_definition == wanted:
            wanted = part.previous or wanted
    return wanted


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


def definitions(context: Context, manifest: Manifest) -> list[str]:
    """Return the jobs of a release whose task definitions ECS no longer has."""
    jobs = manifest.scheduled.items()
    return [line for name, part in jobs for line in _definition(context, name, part.task_definition)]


def _definition(context: Context, name: str, arn: str) -> list[str]:
    try:
        context.retry(lambda: context.ecs.describe_task_definition(taskDefinition=arn))
    except Exception as error:
        if code_of(error) != UNKNOWN_DEFINITION:
            raise
        return [f"{name}: ECS no longer has the task definition {short(arn)}"]
    return []


def _image(context: Context, name: str, service: ServiceTarget, image: str) -> tuple[str, str]:
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


def _question(service: ServiceTarget, image: str) -> tuple[str, dict[str, Any]] | None:
    """Return the region to ask and the arguments of DescribeImages; none for another registry than ECR."""
    address, _, digest = image.partition("@")
    if service.repository and address == service.repository.url and digest:
        return "", {"repositoryName": service.repository.name, "imageIds": [{"imageDigest": digest}]}
    match = ECR.fullmatch(image)
    if match is None:
        return None
    which = {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"] or "latest"}
    return match["region"], {"registryId": match["account"], "repositoryName": match["name"], "imageIds": [which]}
