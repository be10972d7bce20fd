"""Files and folders that no other account may read, or put something into that we would go by."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import ownership
from stackhand.system.roots import PROJECT

TEMPORARY = Path("/tmp")  # noqa: S108 - where every account may make a folder, so that we look whose one is
OTHERS_MAY_WRITE = 0o022


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, for its owner's eyes whatever the umask."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)  # of a process that was killed
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    draft.replace(path)


def update(path: Path, content: bytes) -> bool:
    """Write a file like `write` unless it has that content; return whether it had not."""
    if path.exists() and path.read_bytes() == content:
        return False
    write(path, content)
    return True


def trusted() -> set[int]:
    """Return the accounts whose files we go by: ourselves and, when we are root, the owner of the checkout."""
    return {os.getuid(), *([PROJECT.stat().st_uid] if os.getuid() == 0 else [])}


def is_ours(path: Path) -> bool:
    """Whether something that is there, and no link, belongs to an account that we trust."""
    with suppress(OSError):
        status = path.lstat()
        return status.st_uid in trusted() and not stat.S_ISLNK(status.st_mode)
    return False


def is_closed(folder: Path) -> bool:
    """Whether nobody but the accounts that we trust can put something into a folder."""
    with suppress(OSError):
        status = folder.lstat()
        return is_ours(folder) and stat.S_ISDIR(status.st_mode) and not status.st_mode & OTHERS_MAY_WRITE
    return False


def require(folder: Path) -> None:
    """Refuse a folder of records or sockets that is not `is_closed`: others could name what we end.

    Raises:
        FileNotFoundError: there is no such folder.
        Failure: it is another account's, a link, or others can write to it.
    """
    if is_closed(folder):
        return
    status = folder.lstat()
    place, is_folder = shlex.quote(str(folder)), stat.S_ISDIR(status.st_mode)
    evidence = [f"it belongs to {ownership.account(status.st_uid)}, mode {stat.filemode(status.st_mode)}"]
    if folder.parent == TEMPORARY:
        remedy = "rm .stackhand/key (the folder then gets another name), then ./inv up"
    elif is_folder and not is_ours(folder):
        raise ownership.closed(folder)
    else:
        remedy = f"{'chmod go-w' if is_folder else 'rm'} {place}, then repeat the command"
    what = f"Accounts other than {ownership.account()} could impersonate this stack's supervisor in {folder}."
    raise Failure(what, evidence=evidence, next=remedy, code=ExitCode.PREFLIGHT)
