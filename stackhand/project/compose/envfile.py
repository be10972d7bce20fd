"""Read files of variables, such as `.env`, as Compose does (docs/decisions/072-dotenv.md).

A file in which every line means the same to everybody needs no reader. Any other is handed to Compose as the
`env_file` of a service, and its answer is kept as long as nothing that went into it changes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import lru_cache
from pathlib import Path

from stackhand.cli.failure import Failure
from stackhand.project import dotenv, inherited
from stackhand.project.compose import resolver
from stackhand.project.dotenv import Problem
from stackhand.system import program
from stackhand.system.roots import PROJECT

READER = Path(__file__).with_name("dotenv.yaml")
"""A Compose file with one service, whose `env_file` is its stdin."""
READ_WITHIN = 20.0
MENTIONED = re.compile(r"\$\{?([A-Za-z_]\w*)|^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t\r]*$", re.MULTILINE)
UNSET = re.compile(r'The \\"(\w+)\\" variable is not set')
REJECTED = re.compile(r"(?:failed to read \S+: )?(?:line (?P<line>\d+): )?(?P<message>.+)", re.DOTALL)
IN_SINGLE_QUOTES = "write it in single quotes, KEY='value', where no character is special"


def read(text: str, root: Path = PROJECT) -> tuple[dict[str, str], list[Problem]]:
    """Return the values of a file as Compose reads them, and what is wrong with it.

    Where Compose cannot read it, or the checkout has no Compose, the values are those that `search` finds.
    """
    text = text.removeprefix("\ufeff")
    if (values := dotenv.plain(text)) is not None:
        return values, []
    try:
        values, message = _asked(text, root)
    except (Failure, OSError, subprocess.TimeoutExpired):
        return dotenv.search(text)
    if values is None:
        return dotenv.search(text)[0], [_rejected(text, message)]
    stray = values.pop("", None)  # text behind a closing quote becomes the value of a variable without a name
    problems = [Problem(_line(text, stray), "", "has text that belongs to no setting")] if stray else []
    return values, [*problems, *(_expanded(text, name) for name in UNSET.findall(message))]


def _asked(text: str, root: Path) -> tuple[dict[str, str] | None, str]:
    """Return what Compose reads (None: it rejects the file), and what it says on stderr."""
    chosen = resolver.choose(root)
    mentioned = {name for match in MENTIONED.finditer(text) for name in match.groups() if name}
    shell = {name: os.environ[name] for name in sorted(mentioned) if name in os.environ}
    digest = resolver.digest_of(root, [text, chosen.identity, shell]) if chosen.identity else ""
    values, message = resolver.answer(
        root, "dotenv", digest, lambda: _answer(text, chosen.command, tuple(shell.items()))
    )
    return None if values is None else dict(values), message


@lru_cache(maxsize=16)
def _answer(
    text: str, command: tuple[str, ...], shell: tuple[tuple[str, str], ...]
) -> tuple[dict[str, str] | None, str]:
    args = [*command, "-f", str(READER), "--env-file", os.devnull, "config", "--format", "json"]
    environment = inherited.environment("docker") | dict(shell)
    done = program.run(args, environment=environment, timeout=READ_WITHIN, text=text)
    if done.returncode != 0:
        return None, done.stderr.strip()
    service = json.loads(done.stdout)["services"]["dotenv"]
    # Compose doubles each $, so that what it prints could be its input.
    return {key: (each or "").replace("$$", "$") for key, each in (service.get("environment") or {}).items()}, (
        done.stderr
    )


def _rejected(text: str, message: str) -> Problem:
    """Return the problem that Compose tells of, without the line itself: it may have a secret in it."""
    rejected = REJECTED.match(message)
    number = int(rejected["line"] or 0) if rejected else 0
    if "unterminated quoted value" in message:
        entry = next((each for each in dotenv.ENTRY.finditer(text) if (each["bare"] or "x")[0] in "'\""), None)
        opening = entry["bare"][0] if entry else "quote"
        key, number = (entry["key"], text.count("\n", 0, entry.start("key")) + 1) if entry else ("", number)
        return Problem(number, key, f"has an opening {opening} without a closing one")
    if required := re.search(r"required variable (\w+) is missing", message):
        return Problem(*_place(text, required[1]), f"requires the variable {required[1]}, which nothing sets")
    key = text.split("\n")[number - 1].partition("=")[0].strip()[:40] if number else ""
    return Problem(number, key, "is not a line of the form KEY=value")


def _expanded(text: str, name: str) -> Problem:
    message = f"has a $, which Compose expands, and nothing sets {name}; {IN_SINGLE_QUOTES}"
    return Problem(*_place(text, name), message, is_expansion=True)


def _place(text: str, name: str) -> tuple[int, str]:
    """Return the number of the line that mentions a variable, and the key of its setting."""
    mention = re.compile(rf"\$\{{?{name}\b")
    entry = next((each for each in dotenv.ENTRY.finditer(text) if each["key"] and mention.search(each[0])), None)
    return (text.count("\n", 0, entry.start("key")) + 1, entry["key"]) if entry else (0, "")


def _line(text: str, part: str) -> int:
    return text.count("\n", 0, max(text.rfind(part), 0)) + 1
