"""What `stackhand init` asks a person: only what cannot be read in the project."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stackhand.adoption import classification
from stackhand.adoption.classification import Classified
from stackhand.adoption.files import Answers
from stackhand.cli import console
from stackhand.project.stack import xfields
from stackhand.project.stack.model import Stack

REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+")


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
    while (answer := _line("AWS region", default)) != default and not REGION.fullmatch(answer):
        console.notify(f"a region is like {default}, and not {answer}")
    return answer


def _account(default: str) -> str:
    while not ((answer := _line("AWS account", default)).isdigit() and len(answer) == len(default)):
        console.notify(f"an account is twelve digits, and not {answer}")
    return answer


def _line(question: str, default: str) -> str:
    console.notify(f"{question}{f' [{default}]' if default else ''}:")
    try:
        return input().strip() or default
    except EOFError:
        return default
