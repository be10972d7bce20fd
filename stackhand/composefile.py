"""Read `docker-compose.yml` as Compose does: its YAML, its variables, and errors that name the place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stackhand.failure import ExitCode, Failure
from stackhand.interpolation import InterpolationError, fill

FILE = "docker-compose.yml"


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
        raise _mend(f"{FILE}{where}: {getattr(error, 'problem', None) or error}.") from error
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
        raise _mend(f"{FILE}: {at}: {error}.") from error


def mapping(value: Any, at: str) -> dict[str, Any]:
    """Return `value`, which has to be a mapping; `at` is its place in the file."""
    if not isinstance(value, dict):
        raise wrong(at, "a mapping", value)
    return value


def wrong(at: str, expected: str, found: Any = None) -> Failure:
    """Return the failure that says what was expected at a place of the file, and what is there."""
    shown = "" if found is None else f", but it is {found!r}"
    return _mend(f"{FILE}: {at} must be {expected}{shown}.")


def _mend(what: str) -> Failure:
    return Failure(what, next=f"mend {FILE}, then repeat the command", code=ExitCode.PREFLIGHT)


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
