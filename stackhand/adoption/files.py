"""The files that a project gets, from what its services are and what somebody answered."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from stackhand.adoption import overlay, statusservice
from stackhand.adoption.classification import Classified
from stackhand.adoption.generated import File
from stackhand.adoption.repository import GitRepository
from stackhand.project.compose import composefiles
from stackhand.project.stack.model import Stack
from stackhand.system.roots import CONTENT, PROJECT

TEMPLATES = Path(__file__).parent / "templates"
WORKFLOW = ".github/workflows/stackhand.yml"
ENVIRONMENT = "staging"
RESERVED = re.compile(r"^(aws|ssm|(internal|sg|amzn|sthree)(-|$))")
LONGEST_NAME = 12
"""Of `stack` in Terraform's variables."""


class Answers(msgspec.Struct):
    """What the files do not follow from; the lock keeps it, so that an upgrade can write them again.

    Args:
        stack: prefix of the names on AWS.
        public: the service that the load balancer sends the public's requests to; empty for none.
        region: of AWS.
        account: twelve digits.
        branch: the one that is released.
        folder: the project's, relative to the top of its git repository.
        health: a path by service, for those whose health check says none.
        status: whether the overlay has the status service and its page.
    """

    stack: str
    public: str
    region: str
    account: str
    branch: str = "main"
    folder: str = "."
    health: dict[str, str] = {}
    status: bool = False


def files(stack: Stack, services: Sequence[Classified], answers: Answers, git: GitRepository) -> list[File]:
    """Return the files, all but the lock.

    Args:
        stack: the services, as the project's own Compose files have them.
        services: as they were classified.
        answers: what is to be in the files beyond that.
        git: the repository, at whose top the workflow lies.

    Raises:
        Failure: the stack lacks what the status service needs.
    """
    added = statusservice.overlay(stack) if answers.status else None
    described = [answered(each, answers) for each in services]
    values = {
        "STACK": answers.stack,
        "ENVIRONMENT": ENVIRONMENT,
        "REGION": answers.region,
        "ACCOUNT": answers.account,
        "BRANCH": answers.branch,
        "FOLDER": answers.folder,
    }
    return [
        File("inv", (CONTENT / "inv").read_text(encoding="utf-8"), executable=True),
        File(overlay.PATH, overlay.text(described, composefiles.own_files(PROJECT), added)),
        File(f"environments/{ENVIRONMENT}.tfvars", _template("environment.tfvars", values)),
        File(os.path.relpath(git.top / WORKFLOW, PROJECT), _template("workflow.yml", values)),
    ]


def answered(service: Classified, answers: Answers) -> Classified:
    """Return a service as somebody's answers complete it."""
    health = answers.health.get(service.name) or service.health
    return structs.replace(service, health=health, public=service.name == answers.public)


def stack_name(name: str) -> str:
    """Return a name for AWS: short, of letters, digits and hyphens, and none that AWS reserves."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower())
    plain = re.sub(r"^[^a-z]+", "", plain)[:LONGEST_NAME].strip("-")
    return plain if len(plain) > 1 and not RESERVED.search(plain) else f"app-{plain}"[:LONGEST_NAME].strip("-")


def _template(name: str, values: Mapping[str, str]) -> str:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)
