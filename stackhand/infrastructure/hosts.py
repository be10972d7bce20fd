"""Names of other services, which are host names to Compose and none on AWS: where they are rewritten, and where not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from stackhand.infrastructure.note import Note
from stackhand.project.composekeys import Level
from stackhand.project.model import Service, Stack
from stackhand.project.xfields import Fargate, Managed

PORTS = {"rds": 5432, "elasticache": 6379}
"""Where the managed services listen."""
A_HOST = re.compile(r"HOST|ADDR|SERVER|ENDPOINT|UPSTREAM|BROKER|URL|URI")
"""What a variable is called whose value may be a host name and nothing else."""
TEXTS = ("command", "entrypoint", "healthcheck")


def notes(service: Service, stack: Stack, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield where another service is named in a way that nobody rewrites."""
    others = [each for each in stack.services.values() if each.name != service.name]
    for key, value in service.environment.items():
        for other in others:
            if _left(key, value, other):
                yield Note(Level.IGNORED, "environment", f"{key} ({service.name})", _advice(other))
    for key in TEXTS:
        for other in others:
            if leads_to(str(entry.get(key) or ""), other.name):
                yield Note(
                    Level.IGNORED,
                    key,
                    service.name,
                    f"{other.name} is no host name on AWS; an address is rewritten under environment alone",
                )


def leads_to(text: str, name: str) -> bool:
    """Whether a text has a service as a host: before a port, or in a URL."""
    host = re.escape(name)
    return bool(
        re.search(rf"(?<![\w.-]){host}:\d+(?!\w)", text) or re.search(rf"://(?:[^/@\s]*@)?{host}(?=[/?\s\"';]|$)", text)
    )


def _left(key: str, value: str, other: Service) -> bool:
    """Whether a value still names a service after Terraform has put in the addresses of AWS."""
    if other.aws is not None:
        value = value.replace(rewritten(other), "")
    return leads_to(value, other.name) or (value == other.name and bool(A_HOST.search(key.upper())))


def rewritten(other: Service) -> str:
    """Return how a service on AWS has to be named to be found there, as terraform/environment.tf looks for it."""
    match other.aws:
        case Managed():
            return f"{other.name}:{PORTS[other.aws.managed]}"
        case Fargate():
            return f"http://{other.name}:{other.aws.port}"
    return other.name


def _advice(other: Service) -> str:
    if other.aws is None:
        return f"{other.name} is not on AWS"
    return f"{other.name} is no host name on AWS; {rewritten(other)} is rewritten to its address"
