"""What the files of a project do not follow from: what a person is asked, and the answers of who is not asked."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import msgspec
from msgspec import structs

from stackhand.adoption import classification
from stackhand.adoption.classification import Classified
from stackhand.adoption.repository import GitRepository
from stackhand.cli import console
from stackhand.project.stack import xfields
from stackhand.project.stack.model import Stack

REGION, ACCOUNT = "eu-west-1", "123456789012"
"""Without an answer; the account is the one of AWS's own examples."""
REGIONS = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")
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


def defaults(stack: Stack, services: Sequence[Classified], git: GitRepository) -> Answers:
    """Return the answers of who is not asked."""
    return Answers(
        stack=stack_name(stack.name),
        public=classification.choose_public(services, stack),
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION,
        account=ACCOUNT,
        branch=git.branch,
        folder=git.folder,
    )


def stack_name(name: str) -> str:
    """Return a name for AWS: short, of letters, digits and hyphens, and none that AWS reserves."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower())
    plain = re.sub(r"^[^a-z]+", "", plain)[:LONGEST_NAME].strip("-")
    return plain if len(plain) > 1 and not RESERVED.search(plain) else f"app-{plain}"[:LONGEST_NAME].strip("-")


def answered(service: Classified, answers: Answers) -> Classified:
    """Return a service as somebody's answers complete it."""
    health = answers.health.get(service.name) or service.health
    return structs.replace(service, health=health, public=service.name == answers.public)


def ask(services: Sequence[Classified], stack: Stack, answers: Answers) -> None:
    """Complete the answers; an empty line takes the default."""
    candidates = classification.candidates(services, stack)
    if len(candidates) > 1:
        question = f"Which service answers the public ({', '.join(candidates)})?"
        answers.public = _choice(question, answers.public, candidates)
    for each in services:
        if each.name == answers.public and not each.health:
            question = f"A path of {each.name} that answers 200 while it lives (empty: none)"
            if path := _path(question):
                answers.health = {**answers.health, each.name: path}
    answers.region = _region(answers.region)
    answers.account = _account(answers.account)


def _choice(question: str, default: str, known: Sequence[str]) -> str:
    while (answer := _line(question, default)) not in known:
        console.notify(f"not one of them: {answer}")
    return answer


def _path(question: str) -> str:
    while path := _line(question, ""):
        path = path if path.startswith("/") else f"/{path}"
        if re.fullmatch(xfields.ASKED, path):
            break
        console.notify(f"it must be {xfields.ASKED_SAYS}, and not {path}")
    return path


def _region(default: str) -> str:
    while (answer := _line("AWS region", default)) != default and not REGIONS.fullmatch(answer):
        console.notify(f"a region is like {default}, and not {answer}")
    return answer


def _account(default: str) -> str:
    while not ((answer := _line("AWS account", default)).isdigit() and len(answer) == len(default)):
        console.notify(f"an account is twelve digits, and not {answer}")
    return answer


def _line(question: str, default: str) -> str:
    return console.ask(f"{question}{f' [{default}]' if default else ''}:") or default
