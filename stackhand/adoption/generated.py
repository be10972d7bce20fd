"""The files that Stackhand has put into a project, with a digest of each: one that nobody has edited may be renewed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from stackhand.cli.failure import ExitCode, Failure

RECORD = re.compile(r"^# file sha256:([0-9a-f]{64}) (.+)$", re.MULTILINE)
State = Literal["absent", "unedited", "edited", "foreign"]


class File(msgspec.Struct, frozen=True):
    """One file to be generated: its path relative to the project, which may lead out of it, and its content."""

    path: str
    text: str
    executable: bool = False


class Written(msgspec.Struct, frozen=True):
    """What was done with the files: those that were created, and those that were there and stay as they are."""

    created: list[str]
    unchanged: list[str]


def digest(text: str) -> str:
    """Return the digest by which an edited file is told from one that is as it was generated."""
    return hashlib.sha256(text.encode()).hexdigest()


def recorded(lock: str) -> dict[str, str]:
    """Return the digests by path that the text of a lock has."""
    return {path: digest for digest, path in RECORD.findall(lock)}


def state(root: Path, path: str, records: Mapping[str, str]) -> State:
    """Return whether a file is there, whether it is ours, and whether somebody has edited it."""
    try:
        text = (root / path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return "absent"
    except UnicodeDecodeError:
        return "edited" if path in records else "foreign"
    if path not in records:
        return "foreign"
    return "unedited" if digest(text) == records[path] else "edited"


def write(root: Path, files: Sequence[File]) -> Written:
    """Write the files that are not there; what is there stays as it is, whoever wrote it.

    Raises:
        Failure: a file cannot be written.
    """
    created, unchanged = [], []
    for each in files:
        path = root / each.path
        if path.exists() or path.is_symlink():
            unchanged.append(each.path)
            continue
        replace(root, each)
        created.append(each.path)
    return Written(created, unchanged)


def replace(root: Path, file: File) -> None:
    """Write a file at once, or not at all.

    Raises:
        Failure: it cannot be written.
    """
    path = root / file.path
    draft = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(file.text, encoding="utf-8")
        draft.chmod(0o755 if file.executable else 0o644)
        draft.replace(path)
    except OSError as error:
        raise Failure(
            f"{file.path} cannot be written: {error.strerror}.",
            evidence=[str(path)],
            next="make the folder writable, then repeat the command",
            code=ExitCode.PREFLIGHT,
        ) from error
