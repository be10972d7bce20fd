"""Read `docker-compose.yml` as Compose does: its YAML, its variables, and errors that name the place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.interpolation import InterpolationError, fill

FILE = "docker-compose.yml"
NAMES = ("compose.yaml", "compose.yml", FILE, "docker-compose.yaml")
"""Where Compose looks for its file, in this order; the first one counts."""
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
"""What Compose lays over that file, wherever it finds one; the first one counts."""


def require_one(root: Path, variables: Mapping[str, str]) -> None:
    """Refuse Compose files that Compose would read and Stackhand would not: half of the stack would come from each.

    Args:
        root: the checkout.
        variables: those of `.env`, where Compose looks for COMPOSE_FILE; that of the shell never reaches it.

    Raises:
        Failure: with the files, and who reads which.
    """
    given = variables.get("COMPOSE_FILE", "")
    if "COMPOSE_FILE" in variables and not given:
        raise Failure(
            "COMPOSE_FILE in .env is empty; Compose would read the checkout's folder as a file.",
            next="delete COMPOSE_FILE from .env, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    named = [each for each in given.split(variables.get("COMPOSE_PATH_SEPARATOR") or os.pathsep) if each]
    used = named or [
        *next(([each] for each in NAMES if (root / each).is_file()), []),
        *next(([each] for each in OVERRIDES if (root / each).is_file()), []),
    ]
    others = [each for each in used if os.path.normpath(root / each) != os.path.normpath(root / FILE)]
    if not others:
        return
    why = " (named by COMPOSE_FILE in .env)" if named else ""
    move = f"merge {' and '.join(others)} into {FILE} and remove the merged files"
    raise Failure(
        f"Compose and Stackhand would read different files: there is more than {FILE}: {', '.join(others)}.",
        evidence=[
            f"Compose would read: {', '.join(used)}{why}",
            f"Stackhand reads only: {FILE}",
        ],
        next=(f"{move}, delete COMPOSE_FILE from .env" if named else move) + ", then repeat the command",
        code=ExitCode.PREFLIGHT,
    )


def read(path: Path) -> dict[str, Any]:
    """Return the document as it is written, `${VARIABLES}` and all.

    Raises:
        Failure: the file is missing or no YAML mapping; the place is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader with fewer types
    except OSError as error:
        raise Failure(f"{FILE} cannot be read: {error.strerror}.", code=ExitCode.PREFLIGHT) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _invalid(f"{FILE}{where}: {getattr(error, 'problem', None) or error}.") from error
    return mapping(document, "the file")


def filled(value: Any, variables: Mapping[str, str], at: str = "") -> Any:
    """Return a part of the document with its variables filled in; `at` is its place in the file.

    Raises:
        Failure: a variable cannot be filled in; the place is named.
    """
    if isinstance(value, dict):
        return {key: filled(item, variables, f"{at}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, variables, f"{at}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    try:
        return fill(value, variables)
    except InterpolationError as error:
        raise _invalid(f"{FILE}: {at}: {error}.") from error


def mapping(value: Any, at: str) -> dict[str, Any]:
    """Return `value`, which has to be a mapping; `at` is its place in the file."""
    if not isinstance(value, dict):
        raise wrong(at, "a mapping", value)
    return value


def wrong(at: str, expected: str, found: Any = None) -> Failure:
    """Return the failure that says what was expected at a place of the file, and what is there."""
    shown = "" if found is None else f", not {found!r}"
    return _invalid(f"{FILE}: {at} must be {expected}{shown}.")


def elsewhere(at: str) -> Failure:
    """Return the failure of a key whose services Compose would take from another place, and Stackhand would miss."""
    return Failure(
        f"{FILE}: Stackhand does not support {at}.",
        evidence=["Compose would take services from elsewhere; Stackhand reads only this file"],
        next=f"copy its content into {FILE}, then repeat the command",
        code=ExitCode.PREFLIGHT,
    )


def _invalid(what: str) -> Failure:
    return Failure(what, next=f"fix {FILE}, then repeat the command", code=ExitCode.PREFLIGHT)


class _Loader(yaml.CSafeLoader):
    """YAML 1.2 as Compose reads it: `yes` and `on` are words, and 22:22 is a port mapping, not a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":int", ":timestamp"))]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?\d+$"), list("-+0123456789"))
