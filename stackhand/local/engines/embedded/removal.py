"""Removing a folder of data, and saying so when some of it stays."""

from __future__ import annotations

import errno
import shlex
from contextlib import suppress
from pathlib import Path

from stackhand.cli.failure import Failure
from stackhand.project import ownership
from stackhand.system import trees

SHOWN = 5


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it; one that is mounted is emptied.

    Raises:
        Failure: some of it stays; what, why and whose it is are named.
    """
    left = [(path, error) for path, error in trees.remove(folder) if not _is_gone(path, error)]
    if left:
        raise _stays(folder, left)


def _is_gone(path: Path, error: OSError) -> bool:
    return isinstance(error, FileNotFoundError) or error.errno == errno.ENOTEMPTY or _emptied_mount(path)


def _emptied_mount(path: Path) -> bool:
    with suppress(OSError):
        return path.is_mount() and not any(path.iterdir())
    return False


def _stays(folder: Path, left: list[tuple[Path, OSError]]) -> Failure:
    path, error = left[0]
    refused = isinstance(error, PermissionError)
    remedy = f"sudo rm -r {shlex.quote(str(folder))}, which removes everything" if refused else "fix that"
    return Failure(
        f"{path} cannot be removed: {error.strerror or error}.",
        evidence=[f"{each} belongs to {_owner(each)}" for each, _ in left[:SHOWN]],
        next=f"{remedy}, then ./inv down --volumes",
    )


def _owner(path: Path) -> str:
    with suppress(OSError):
        return ownership.account(path.lstat().st_uid)
    return "another account"
