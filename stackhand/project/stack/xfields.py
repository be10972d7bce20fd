"""The fields of ours in Compose files: `x-health`, `x-embedded` and `x-stackhand`; `x-aws` is in xaws.py."""

from __future__ import annotations

import difflib
import re
import shlex
from typing import Any, Literal, TypeVar

import msgspec

from stackhand.cli.failure import ExitCode, Failure

MigrationKey = Literal["command", "plan", "status", "list"]
KNOWN = ("x-health", "x-embedded", "x-aws")
OWN = "x-stackhand"
ASKED = r"/[!\"$-)+-~]*"
"""A path that is asked for: HTTP has no blanks in it, and in a rule of the load balancer a star is any text."""
ASKED_SAYS = "a path without blanks, * or #"


class Embedded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-embedded`: how a service runs with no container engine."""

    engine: Literal["postgres", "redis", "nginx"] | None = None
    """One of the servers that Stackhand installs; or else `command`."""
    command: str | list[str] | None = None
    """The program to run, from the checkout; `$$PORT` in it becomes the port to listen on."""
    environment: dict[str, str | int | float | bool] = {}  # variables that replace or complete those of `environment`
    ready: str | None = None  # a path that answers 200 once the service may be used; without it, `x-health` is asked
    template: str | None = None  # the configuration of an nginx, with `${VARIABLE}` filled in from `environment`
    working_dir: str | None = None
    """The folder that `command` runs in, relative to the project; the project itself without it."""


class Stackhand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`x-stackhand` beside `services`: what concerns the project and none of its services."""

    test: str | list[str] | None = None  # the command that `./inv test` runs, split as a shell would, or its words

    @property
    def test_command(self) -> tuple[str, ...]:
        """The words of `test`."""
        return tuple(shlex.split(self.test) if isinstance(self.test, str) else self.test or ())


def wrong(at: str, expected: str, given: Any = None) -> Failure:
    """Return the failure that says what was expected at a place of a file (`FILE: KEY`), and what is there."""
    shown = "" if given is None else f", not {given!r}"
    return Failure(f"{at} must be {expected}{shown}.", next=_fix(at), code=ExitCode.PREFLIGHT)


def _fix(at: str) -> str:
    return f"fix {at.partition(': ')[0]}, then repeat the command"


def refuse_misspelt(entry: dict[str, Any], at: str) -> None:
    """Refuse `x-` keys that are almost ours: one would be silently without effect. Other tools have their own."""
    for key in entry:
        if key.startswith("x-") and key not in KNOWN and difflib.get_close_matches(key, KNOWN, n=1, cutoff=0.75):
            raise wrong(f"{at}.{key}", f"one of the known x- keys ({', '.join(KNOWN)})")


def stackhand(resolved: dict[str, Any], file: str) -> Stackhand:
    """Return `x-stackhand`, which stands beside `services`; almost that key would be without effect, and is refused."""
    for key in resolved:
        if key.startswith("x-") and key != OWN and difflib.get_close_matches(key, [OWN], n=1, cutoff=0.85):
            raise wrong(f"{file}: {key}", f"called {OWN}")
    if resolved.get(OWN) is None:
        return Stackhand()
    own = convert(resolved[OWN], Stackhand, f"{file}: {OWN}")
    if isinstance(own.test, str):
        refuse_open_quote(own.test, f"{file}: {OWN}.test")
    return own


def health(entry: dict[str, Any], at: str) -> str | None:
    """Return `x-health`: the path that answers 200 while the service lives."""
    path = entry.get("x-health")
    require_path(path, f"{at}.x-health")
    return path


def embedded(entry: dict[str, Any], at: str) -> Embedded | None:
    """Return `x-embedded`."""
    if entry.get("x-embedded") is None:
        return None
    at, entry = f"{at}.x-embedded", entry["x-embedded"]
    embedded = convert(entry, Embedded, at)
    if (embedded.engine is None) == (embedded.command is None):
        raise wrong(at, "either engine or command", entry)
    if (embedded.engine == "nginx") != (embedded.template is not None):
        raise wrong(f"{at}.template", "the path of a configuration template, for engine: nginx only", entry)
    if embedded.ready is not None and not embedded.ready.startswith("/"):
        raise wrong(f"{at}.ready", "a path that starts with /", embedded.ready)
    return embedded


def require_path(path: Any, at: str) -> None:
    """Refuse what cannot be requested, or could not stand in a rule of the load balancer."""
    if path is not None and not (isinstance(path, str) and path.startswith("/")):
        raise wrong(at, "a path that starts with /", path)
    if path is not None and not re.fullmatch(ASKED, path):
        raise wrong(at, ASKED_SAYS, path)


def refuse_open_quote(command: str, at: str) -> None:
    """Refuse a command that no shell could split."""
    try:
        shlex.split(command)
    except ValueError as error:
        raise wrong(at, "a command as a shell would split it", command) from error


XField = TypeVar("XField", bound=msgspec.Struct)


def convert(entry: Any, kind: type[XField], at: str) -> XField:
    """Return a field as its type, or refuse it with its place and the keys that it may have."""
    try:
        return msgspec.convert(entry, kind)
    except msgspec.ValidationError as error:
        path = re.search(r" - at `\$(.*)`$", str(error))
        expected = re.sub(r" - at `.*`$", "", str(error)).replace("`", "").replace(" | null", "")
        known = ", ".join(kind.__struct_encode_fields__)
        raise Failure(
            f"{at}{path[1] if path else ''}: {expected}.",
            evidence=[f"known keys: {known}"],
            next=_fix(at),
            code=ExitCode.PREFLIGHT,
        ) from error
