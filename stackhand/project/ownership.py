"""Whose a file is: what we may not use is there all the same, and no other account may use what is private.

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
TEMPORARY = Path("/tmp")  # noqa: S108 - where every account may make a folder, so that we look whose one is
OTHERS_MAY_WRITE = 0o022


def refused(error: PermissionError) -> Failure:
    """Return the failure of something that this account may not do to a file, or to a process."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return _failure(
            f"{account()} has no permission for this: {error.strerror or error}.",
            ["another account, such as root, probably started what runs here"],
            "repeat the command as that account, with sudo for root",
        )
    return closed(Path(os.fsdecode(error.filename)))


def closed(path: Path) -> Failure:
    """Return the failure of a path that this account may not use: whose it is, and how to have it back."""
    barrier = _barrier(path)
    mine, filesystem = barrier.stat().st_uid == os.getuid(), os.statvfs(barrier)
    if filesystem.f_flag & os.ST_RDONLY and _allows(barrier, os.R_OK):
        return _failure(
            f"{barrier} is on a read-only file system.",
            ["owner and mode of the file are not the cause"],
            "mount it read-write, or use a checkout on a writable file system",
        )
    if os.getuid() == 0 and (mine or not _allows(barrier, os.R_OK | os.W_OK)):
        return _closed_to_root(barrier)
    place = _part_of_ours(barrier)
    if mine:
        return _failure(
            f"{account()} has no access to {barrier}: its mode forbids it.",
            _modes(barrier),
            f"chmod {'-R ' if place else ''}u+rwX {shlex.quote(str(barrier))}, then repeat the command",
        )
    if place:
        return _taken(barrier, place)
    owner = account(barrier.stat().st_uid)
    return _failure(  # a command that changes what is not ours would change the system
        f"{barrier} belongs to {owner}, and you are {account()}.",
        _modes(barrier),
        f"ask {owner} for access to {barrier}, or use a folder of your own; then repeat the command",
    )


def _failure(what: str, evidence: list[str], remedy: str) -> Failure:
    return Failure(what, evidence=evidence, next=remedy, code=ExitCode.PREFLIGHT)


def _closed_to_root(path: Path) -> Failure:
    owner = path.stat().st_uid
    who = f"{account(owner)}, who owns it" if owner else "the ordinary account that owns the checkout"
    return _failure(
        f"The system denies root access to {path}.",
        ["a container without CAP_CHOWN or CAP_DAC_OVERRIDE behaves this way", *_modes(path)],
        f"repeat the command as {who}, or restore the container's capabilities",
    )


def _taken(path: Path, place: Path) -> Failure:
    owner, us = account(path.stat().st_uid), account()
    root = os.getuid() == 0
    sudo = f"sudo -u {_operand(path.stat().st_uid, '#')}" if root else "sudo"
    fix = f"{'' if root else 'sudo '}chown -R {_operand(os.getuid())}: {shlex.quote(str(place))}"
    if running_as_another():
        return _failure(
            f"The stack of this checkout runs as {owner}, and you are {us}.",
            [f"{path} belongs to {owner}"],
            f"{sudo} ./inv status; to take it over as {us}: {sudo} ./inv down, then {fix}",
        )
    return _failure(
        f"{path} belongs to {owner}, and you are {us}.",
        ["a command run as another account created it, such as sudo ./inv up"],
        f"{fix}, or run the command {f'as {owner}' if root else 'with sudo'}",
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
    evidence = [f"it belongs to {account(status.st_uid)}, mode {stat.filemode(status.st_mode)}"]
    if folder.parent == TEMPORARY:
        remedy = "rm .stackhand/key (the folder then gets another name), then ./inv up"
    elif is_folder and not is_ours(folder):
        raise closed(folder)
    else:
        remedy = f"{'chmod go-w' if is_folder else 'rm'} {place}, then repeat the command"
    what = f"Accounts other than {account()} could impersonate this stack's supervisor in {folder}."
    raise _failure(what, evidence, remedy)
