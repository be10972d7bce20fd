"""The settings of one checkout: `.env`, made from `.env.example` where there is one.

An example with types is also the schema that `.env` is checked against, and completed from. One without is copied once,
and `.env` is the user's from then on.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import dotenv, schema
from stackhand.project.compose import envfile
from stackhand.project.schema import Setting
from stackhand.project.state import State
from stackhand.project.values import CHECKS, may_be_shown

EXAMPLE = ".env.example"


@dataclass(frozen=True)
class Settings:
    """The values in force and how they came about."""

    values: dict[str, str]
    """Every key of `.env` with the value Compose would use: the process environment wins over the file."""
    notes: tuple[str, ...] = ()  # what was done to the file, or deserves to be known, one sentence each
    changed: bool = False  # whether the file was written (or, in check mode, would be)


def ensure(root: Path, *, check: bool = False, given: bool = True) -> Settings:
    """Create or complete `.env`, and return the valid settings.

    An existing value is never overwritten. Keys that appeared since in an example with types are appended. Without an
    example, nothing is created.

    Args:
        root: the checkout.
        check: change nothing, but say what would be changed.
        given: whether the secrets that somebody has to give must be there; they need not for who starts nothing here.

    Raises:
        Failure: values are wrong (all of them are named), or the file cannot be read or written.
    """
    entries = schema.read(root / EXAMPLE)
    path = root / ".env"
    text = dotenv.read_text(path) if dotenv.present(path) else None
    wanted, notes = _complete(text, entries, root)
    if wanted is not None and not check:
        _write_ours(root, text, wanted)
    values = _read(wanted if wanted is not None else text or "", entries, given=given)
    # The secrets that nobody has given are told when the file is written, not each time.
    if wanted is not None and (empty := [key for key, each in entries.items() if each.given and not values.get(key)]):
        notes.append(schema.not_set(empty))
    return Settings(values, (*notes, *_overrides(entries or values)), wanted is not None)


def load(root: Path) -> Settings:
    """Return the valid settings of a checkout, without writing anything.

    Raises:
        Failure: `.env` is still to be made, or values are wrong.
    """
    path = root / ".env"
    if not dotenv.present(path):
        if not has_example(root):
            return Settings({})
        raise Failure("This checkout has no .env yet.", next="./inv up", code=ExitCode.PREFLIGHT)
    entries = schema.read(root / EXAMPLE)
    values = _read(dotenv.read_text(path), entries)
    return Settings(values, tuple(_overrides(entries or values)))


def move_ports(root: Path, ports: Mapping[str, int]) -> None:
    """Write other port numbers into `.env`; everything else in it stays as it is."""
    path = root / ".env"
    text = dotenv.read_text(path) if dotenv.present(path) else ""
    known, _ = dotenv.search(text)
    moved = dotenv.replace(text, {key: str(port) for key, port in ports.items()})
    for key in (key for key in ports if key not in known):
        moved = f"{moved.rstrip()}\n\n# Chosen by ./inv up --free-ports.\n{key}={ports[key]}\n".lstrip()
    _write_ours(root, text if dotenv.present(path) else None, moved)


def is_ours(root: Path) -> bool:
    """Whether `.env` is as it was made here from the example, and nobody has written to it since."""
    path = root / ".env"
    try:
        return path.is_file() and not path.is_symlink() and _is_recorded(State(root), dotenv.read_text(path))
    except Failure:  # who may not read it cannot tell
        return False


def summary(root: Path, current: Settings) -> str:
    """Return what there is to say of settings that needed nothing."""
    if not dotenv.present(root / ".env"):
        return "no .env, and none is needed"
    return f"{console.counted(len(current.values), 'value')} in .env"


def has_example(root: Path) -> bool:
    """Whether there is something to make `.env` from."""
    return bool(schema.names(root / EXAMPLE))


def stack_name(root: Path) -> str:
    """Return the name a new checkout gets: its folder's, and four digits that tell it from its namesakes."""
    folder = re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-") or "stack"
    return f"{folder[:40]}-{hashlib.sha256(str(root).encode()).hexdigest()[:4]}"


def own_name(root: Path) -> str:
    """Return the line of `.env` that gives a checkout containers and volumes of its own.

    Without it, Compose names a project by `name:` of its file, or by the folder: a namesake shares both.
    """
    return f"COMPOSE_PROJECT_NAME={stack_name(root)}"


def _complete(text: str | None, entries: Mapping[str, Setting], root: Path) -> tuple[str | None, list[str]]:
    """Return the text `.env` should have (None: as it is) and a sentence on each kind of change."""
    if text is None:
        return _new(entries, root) if has_example(root) else (None, [])
    present, _ = envfile.read(text, root)
    missing = [entry for key, entry in entries.items() if key not in present]
    empty = {
        key: _fresh(entry, root) for key, entry in entries.items() if present.get(key) == "" and _fresh(entry, root)
    }
    if not missing and not empty:
        return None, []
    text = dotenv.replace(text, empty)
    for entry in missing:
        block = dotenv.replace(entry.block, {entry.key: entry.default or _fresh(entry, root)})
        text = f"{text.rstrip()}\n\n{block}\n"
    notes = []
    if missing:
        notes.append(f".env: appended from .env.example: {', '.join(entry.key for entry in missing)}")
    if empty:
        notes.append(f".env: filled in: {', '.join(empty)}")
    return text, notes


def _new(entries: Mapping[str, Setting], root: Path) -> tuple[str, list[str]]:
    """Return the text of a `.env` that is made from the example, and a sentence on each kind of thing in it."""
    text = (root / EXAMPLE).read_text(encoding="utf-8")
    if entries:
        filled = {key: _fresh(entry, root) for key, entry in entries.items() if not entry.default}
        text = dotenv.replace(text, filled)
        notes = [f".env created with {sum(entries[key].generated for key in filled)} generated secrets"]
    else:
        text, notes = schema.filled(text)
    known, _ = dotenv.search(text)
    kept = {key: str(port) for key, port in State(root).read().ports.items() if key in known}
    return dotenv.replace(text, kept), [notes[0] + (" and the previous ports" if kept else ""), *notes[1:]]


def _fresh(entry: Setting, root: Path) -> str:
    if entry.generated:
        return schema.fresh()
    return stack_name(root) if entry.key == "COMPOSE_PROJECT_NAME" else ""


def _write_ours(root: Path, before: str | None, text: str) -> None:
    """Write `.env` over what was there, and record a digest as long as nobody has edited that (see `is_ours`)."""
    state = State(root)
    ours = before is None or _is_recorded(state, before)
    dotenv.write_text(root / ".env", text)
    if state.directory.is_dir():
        with state.edit() as memory:
            memory.dotenv = state.keyed(text.encode()) if ours else None


def _is_recorded(state: State, text: str) -> bool:
    return state.read().dotenv == state.keyed(text.encode())


def _read(text: str, entries: Mapping[str, Setting], *, given: bool = True) -> dict[str, str]:
    values, problems = envfile.read(text)
    values.update({key: os.environ[key] for key in (entries or values) if key in os.environ})
    outside: list[str] = []
    if not entries:  # what Compose makes of such lines is for Compose to say
        problems = []
    wrong = [f"line {problem.line}: {problem.key} {problem.message}" for problem in problems]
    unreadable = {problem.key for problem in problems}
    for key, entry in entries.items():
        if key in unreadable or (entry.given and not given and not values.get(key)):
            continue
        expected = CHECKS[entry.kind](values.get(key, ""), entry.words)
        if expected:
            shown = f", not {values.get(key, '')!r}" if may_be_shown(entry.kind, values.get(key, "")) else ""
            origin = f" (from the environment: unset {key} to use the value in .env)" if key in os.environ else ""
            outside += [key] if origin else []
            wrong.append(f"{key} must be {expected}{shown}{origin}")
    wrong += _twins(entries, values)
    if wrong:
        raise _refusal(wrong, outside)
    return values


def _refusal(wrong: list[str], outside: list[str]) -> Failure:
    """Return the failure that names all wrong values; `outside` are the keys of those that the shell has set."""
    where = ".env, with the environment," if outside else ".env"
    remedy = [f"unset {' '.join(outside)}"] if outside else []
    if len(wrong) == len(outside):
        where = "The environment"
    else:
        remedy.append("edit .env (each key is explained in .env.example)")
    return Failure(
        f"{where} has {console.counted(len(wrong), 'invalid value')}.",
        evidence=wrong,
        next=f"{', '.join(remedy)}, then repeat the command",
        code=ExitCode.PREFLIGHT,
    )


def _twins(entries: Mapping[str, Setting], values: Mapping[str, str]) -> list[str]:
    seen: dict[str, str] = {}
    twins = []
    for key in (key for key, entry in entries.items() if entry.kind == "port"):
        port = values.get(key, "")
        if port and port in seen:
            twins.append(f"{key} must differ from {seen[port]}, but both are {port}")
        seen.setdefault(port, key)
    return twins


def _overrides(keys: Iterable[str]) -> list[str]:
    overridden = sorted(key for key in keys if key in os.environ)
    return [f"from the environment, not .env: {', '.join(overridden)}"] if overridden else []
