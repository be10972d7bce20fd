"""What a container on Fargate may not do, and docker here lets it: low ports, and what a shell in it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stackhand.infrastructure.services.findings import CloudFinding
from stackhand.infrastructure.services.services import CloudServices
from stackhand.project.environments import Environment
from stackhand.project.stack import dockerfile
from stackhand.project.stack.model import Service, Stack
from stackhand.project.stack.xaws import Fargate

ROOT = frozenset({"", "root", "0"})
FIRST_FREE = 1024
"""Docker lets every user listen below it; Fargate only root with NET_BIND_SERVICE (aws/containers-roadmap, 1721)."""
BIND = "NET_BIND_SERVICE"
EXEC_LACKS = "capabilities are dropped: in a shell even root can neither change owners nor read others' files"
"""AWS does not say which capabilities ECS Exec needs (aws/containers-roadmap, 1360)."""


def of(stack: Stack, cloud: CloudServices, environment: Environment) -> Iterator[CloudFinding]:
    """Yield the services that will not listen on AWS, and those in which a shell can do less than it seems."""
    for service in stack.services.values():
        if isinstance(service.aws, Fargate):
            yield from _port(service, service.aws, stack, cloud)
            if environment.variables.get("exec") and _dropped(service.aws, cloud.written[service.name]):
                remedy = "nothing where that is enough; else cap_drop: [] here for as long as you look around"
                yield CloudFinding("advice", service.name, f"exec = true, and {EXEC_LACKS}", remedy, "cap_drop")


def _port(service: Service, aws: Fargate, stack: Stack, cloud: CloudServices) -> Iterator[CloudFinding]:
    image = dockerfile.released(service, stack.root)
    entry, written = cloud.resolved[service.name], cloud.written[service.name]
    user = str(entry.get("user") or (image.user if image else "")).partition(":")[0]
    if aws.port is None or aws.port >= FIRST_FREE:
        return
    if user not in ROOT:
        why = f"the user {user} may not listen at port {aws.port} on Fargate, which docker here allows"
    elif _dropped(aws, written) and BIND not in _added(written):
        why = f"root without capabilities may not listen at port {aws.port} on Fargate, which docker here allows"
    else:
        return
    remedy = f"listen at {FIRST_FREE} or above, such as {8000 + aws.port}"
    yield CloudFinding("advice", service.name, why, remedy, "x-aws.port")


def _dropped(aws: Fargate, written: Mapping[str, Any]) -> bool:
    """Whether all capabilities are dropped, as terraform/hardening.tf decides it."""
    given = written.get("cap_drop")
    return aws.hardened if given is None else "ALL" in {str(each).upper() for each in given}


def _added(written: Mapping[str, Any]) -> set[str]:
    return {str(each).upper().removeprefix("CAP_") for each in written.get("cap_add") or []}
