"""Whose a file is: what may not be read is there all the same, and belongs to somebody.

After `sudo ./inv up` some of it is root's. Saying "not running" to the owner of the checkout then would be false.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.system.roots import PROJECT

OURS = (".env", ".stackhand", ".venv")
ENTRY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How to open what may be anything by now."""
DEEPEST = 100
"""Levels of folders that are given: each takes a descriptor."""


def refused(error: PermissionError) -> Failure:
    """Return the failure of something that this account may not do to a file, or to a process."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return Failure(
            f"{account()} has no permission for this: {error.strerror or error}.",
            evidence=["another account, such as root, probably started what runs here"],
            next="repeat the command as that account, with sudo for root",
            code=ExitCode.PREFLIGHT,
        )
    return closed(Path(os.fsdecode(error.filename)))


def closed(path: Path) -> Failure:
    """Return the failure of a path that this account may not use: whose it is, and how to have it back."""
    barrier = _barrier(path)
    mine, filesystem = barrier.stat().st_uid == os.getuid(), os.statvfs(barrier)
    if filesystem.f_flag & os.ST_RDONLY and _allows(barrier, os.R_OK):
        return _on_read_only(barrier)
    if os.getuid() == 0 and (mine or not _allows(barrier, os.R_OK | os.W_OK)):
        return _closed_to_root(barrier)
    if mine:
        return _closed_by_mode(barrier)
    place = _part_of_ours(barrier)
    return _taken(barrier, place) if place else _elsewhere(barrier)


def _on_read_only(path: Path) -> Failure:
    return Failure(
        f"{path} is on a read-only file system.",
        evidence=["owner and mode of the file are not the cause"],
        next="mount it read-write, or use a checkout on a writable file system",
        code=ExitCode.PREFLIGHT,
    )


def _closed_to_root(path: Path) -> Failure:
    owner = path.stat().st_uid
    who = f"{account(owner)}, who owns it" if owner else "the ordinary account that owns the checkout"
    return Failure(
        f"The system denies root access to {path}.",
        evidence=["a container without CAP_CHOWN or CAP_DAC_OVERRIDE behaves this way", *_modes(path)],
        next=f"repeat the command as {who}, or restore the container's capabilities",
        code=ExitCode.PREFLIGHT,
    )


def _closed_by_mode(path: Path) -> Failure:
    recursive = "-R " if _part_of_ours(path) else ""
    return Failure(
        f"{account()} has no access to {path}: its mode forbids it.",
        evidence=_modes(path),
        next=f"chmod {recursive}u+rwX {shlex.quote(str(path))}, then repeat the command",
        code=ExitCode.PREFLIGHT,
    )


def _elsewhere(path: Path) -> Failure:
    """Return the failure of what is not ours to change: a command that does would change the system."""
    owner, us = account(path.stat().st_uid), account()
    return Failure(
        f"{path} belongs to {owner}, and you are {us}.",
        evidence=_modes(path),
        next=f"ask {owner} for access to {path}, or use a folder of your own; then repeat the command",
        code=ExitCode.PREFLIGHT,
    )


def _taken(path: Path, place: Path) -> Failure:
    owner, us = account(path.stat().st_uid), account()
    root = os.getuid() == 0
    sudo = f"sudo -u {_operand(path.stat().st_uid, '#')}" if root else "sudo"
    fix = f"{'' if root else 'sudo '}chown -R {_operand(os.getuid())}: {shlex.quote(str(place))}"
    if running_as_another():
        return Failure(
            f"The stack of this checkout runs as {owner}, and you are {us}.",
            evidence=[f"{path} belongs to {owner}"],
            next=f"{sudo} ./inv status; to take it over as {us}: {sudo} ./inv down, then {fix}",
            code=ExitCode.PREFLIGHT,
        )
    return Failure(
        f"{path} belongs to {owner}, and you are {us}.",
        evidence=["a command run as another account created it, such as sudo ./inv up"],
        next=f"{fix}, or run the command {f'as {owner}' if root else 'with sudo'}",
        code=ExitCode.PREFLIGHT,
    )


def account(uid: int | None = None) -> str:
    """Return the name of an account, ours without a number."""
    uid = os.getuid() if uid is None else uid
    return _name(uid) or f"uid {uid}"


def _operand(uid: int, mark: str = "") -> str:
    """Return an account for a command line: its name, or its number, which sudo wants marked."""
    return _name(uid) or shlex.quote(f"{mark}{uid}")


def _name(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return ""


def hand_over(root: Path, paths: Iterable[Path]) -> None:
    """Give what root has made in somebody's checkout, and all that is in it, to the owner of the checkout."""
    if of_another(root):
        for path in paths:
            _give(root, path, all_of_it=True)


def of_another(root: Path) -> bool:
    """Whether we are root, and the checkout is somebody else's."""
    return os.getuid() == 0 and root.stat().st_uid != 0


def give(root: Path, path: Path) -> None:
    """Give one file or folder of root's to the owner of the checkout; what is a server's stays so.

    The work is done by then, so what cannot be given stays root's: a container's root may lack CAP_CHOWN.
    """
    if of_another(root):
        _give(root, path, all_of_it=False)


def _give(root: Path, path: Path, *, all_of_it: bool) -> None:
    """Go down to a path by descriptors: its owner could put a link in the place of each folder on the way."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    owner = os.fstat(folder)
    try:
        *way, name = path.relative_to(root).parts
        for part in way:
            above, folder = folder, os.open(part, ENTRY | os.O_DIRECTORY, dir_fd=folder)
            os.close(above)
        _give_entry(name, folder, owner, DEEPEST if all_of_it else 0)
    except OSError:
        return
    finally:
        os.close(folder)


def _give_entry(name: str, folder: int, owner: os.stat_result, levels: int) -> None:
    """Give what is no link, and no file with another name elsewhere, which could be anybody's."""
    with suppress(OSError):
        descriptor = os.open(name, ENTRY, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode) and levels:
                with os.scandir(descriptor) as entries:
                    for each in list(entries):
                        _give_entry(each.name, descriptor, owner, levels - 1)
            if status.st_uid == 0 and (stat.S_ISDIR(status.st_mode) or status.st_nlink == 1):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        finally:
            os.close(descriptor)


def running_as_another() -> bool:
    """Whether another account's supervisor of this checkout lives."""
    import psutil

    with suppress(OSError, ValueError, KeyError, psutil.Error):
        record = PROJECT / ".stackhand" / "run" / "supervisord.json"  # its folder can be passed, and not listed
        owner, pid = record.lstat().st_uid, int(json.loads(record.read_text(encoding="utf-8"))["pid"])
        return owner != os.getuid() and psutil.Process(pid).uids().real == owner
    return False


def _barrier(path: Path) -> Path:
    """Return what keeps us from a path: itself, its nearest existing parent, or our folder that it is replaced in.

    The parents of what exists need nothing but to be passed, and are.
    """
    nearest = next(each for each in (path.absolute(), *path.absolute().parents) if _exists(each))
    mine = nearest.stat().st_uid == os.getuid() and _allows(nearest, os.R_OK | os.W_OK)
    folder = nearest.parent
    return folder if mine and _part_of_ours(folder) and not os.access(folder, os.W_OK) else nearest


def _allows(path: Path, wanted: int) -> bool:
    return os.access(path, wanted | (os.X_OK if path.is_dir() else 0))


def _part_of_ours(path: Path) -> Path | None:
    """Return the part of the checkout that a path is in; None elsewhere."""
    real, root = Path(os.path.realpath(path)), Path(os.path.realpath(PROJECT))
    if not real.is_relative_to(root):
        return None
    first = real.relative_to(root).parts[:1]
    return Path(root, *first) if first and first[0] in OURS else real


def _exists(path: Path) -> bool:
    with suppress(OSError):
        path.stat()
        return True
    return False


def _modes(path: Path) -> list[str]:
    return [f"{each}: mode {each.stat().st_mode & 0o7777:o}" for each in (path.parent, path) if _exists(each)]
