"""The folders of the services' data: what root does in and beside those of their own accounts; and their removal.

Who has the account of a service can put a link in the place of any file in its folder. So nothing that root writes for
a service lies there, but in a folder that only root can write; and what is done in a service's folder is done by
descriptors, never by a path through it, and never follows a link.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stackhand.cli.failure import Failure
from stackhand.local.engines.embedded.accounts import Account
from stackhand.project import ownership
from stackhand.system import trees

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
LEFT = {errno.ENOENT, errno.ELOOP, errno.ENXIO}
"""Of what went meanwhile, a link or a socket: nothing that is anybody's data."""
DEEPEST = 100
"""Levels of folders that are given: each takes a descriptor, and no server of ours makes ten."""
SHOWN = 5
"""Of what stays when a folder is removed."""


@contextmanager
def opened(path: Path | str, flags: int = FOLDER, parent: int | None = None) -> Iterator[int]:
    """Give the descriptor of a folder, or of what the flags say; a link to one is refused.

    Raises:
        OSError: there is no such folder.
    """
    descriptor = os.open(path, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make(folder: Path, account: Account | None) -> None:
    """Have a service's folder, for its account alone, in one that only we can write.

    What another account of a service owned before is given to this one: the server is stopped, and has its own now.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if account is None:
        return
    with opened(folder) as descriptor:
        before = os.fstat(descriptor).st_uid
        if before != account.uid:
            os.fchmod(descriptor, 0o700)  # nobody else gets in from here on
            _give(descriptor, before, account, DEEPEST)


def write(path: Path, content: bytes, account: Account | None) -> bool:
    """Write what a service reads and may not change: a new file in the place of the old; return whether it changed.

    Its folder is for nothing but this service's configuration, in one that only we can write; the account's group may
    read it.
    """
    with suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    with opened(path.parent) as folder:
        _for_readers(folder, account, 0o700, 0o050)
        changed = read(path.name, folder, len(content) + 1) != content
        draft = f".{path.name}.new"
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        descriptor = os.open(draft, NEW, 0o600, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            _for_readers(descriptor, account, 0o600, 0o040)
            file.write(content)
        os.replace(draft, path.name, src_dir_fd=folder, dst_dir_fd=folder)
    return changed


def read(name: str, folder: int, most: int) -> bytes | None:
    """Return at most so many bytes of a file in an open folder; None when there is none, or it is a link or a pipe."""
    try:
        descriptor = os.open(name, FILE, dir_fd=folder)
    except OSError:
        return None
    try:
        return os.read(descriptor, most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it; one that is mounted is emptied.

    Raises:
        Failure: some of it stays; what, why and whose it is are named.
    """
    left = [
        (path, error)
        for path, error in trees.remove(folder)
        if not (error.errno in {errno.ENOENT, errno.ENOTEMPTY} or _emptied_mount(path))
    ]
    if left:
        raise _stays(folder, left)


def _for_readers(descriptor: int, account: Account | None, ours: int, theirs: int) -> None:
    if account:
        os.fchown(descriptor, os.getuid(), account.gid)
    os.fchmod(descriptor, ours | theirs if account else ours)


def _give(folder: int, before: int, account: Account, levels: int) -> None:
    """Give a folder and so many levels of what is in it to an account, as far as it belongs to the account of before.

    A link is left as it is, and so is a file that has another name elsewhere: that could be anybody's.
    """
    os.fchown(folder, account.uid, account.gid)
    for name in os.listdir(folder):
        try:
            with opened(name, FILE, folder) as inner:
                status = os.fstat(inner)
                if status.st_uid == before and stat.S_ISDIR(status.st_mode):
                    if levels:
                        _give(inner, before, account, levels - 1)
                elif status.st_uid == before and stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
                    os.fchown(inner, account.uid, account.gid)
        except OSError as error:
            if error.errno not in LEFT:
                raise


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
