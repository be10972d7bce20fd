"""Whose a file is: what may not be read is there all the same, and belongs to somebody.

After `sudo ./inv up` some of it is root's. Saying "not running" to the owner of the checkout then would be false.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stackhand import ROOT
from stackhand.failure import ExitCode, Failure

OURS = (".env", ".stackhand", ".venv")


def refused(error: PermissionError) -> Failure:
    """Return the failure of something that this account may not do to a file, or to a process."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return Failure(
            f"{account()} may not do this: {error.strerror or error}.",
            evidence=["what runs here was probably started by another account, such as root"],
            next="repeat the command as that account, with sudo for root",
            code=ExitCode.PREFLIGHT,
        )
    return closed(Path(os.fsdecode(error.filename)))


def closed(path: Path) -> Failure:
    """Return the failure of a path that this account may not use: whose it is, and how to have it back."""
    found = _of_another(path)
    if found is None:
        return Failure(
            f"{path} may not be used by {account()}: a mode forbids it.",
            evidence=_modes(path),
            next=f"chmod -R u+rwX {shlex.quote(str(path))}, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    owner, us = account(found.stat().st_uid), account()
    place = next((each for each in (*reversed(found.parents), found) if each.name in OURS), found)
    mend = f"sudo chown -R {us}: {shlex.quote(str(place))}"
    if running_as_another():
        return Failure(
            f"The stack of this checkout runs as {owner}, and you are {us}.",
            evidence=[f"{found} belongs to {owner}"],
            next=f"sudo ./inv status; to have it as {us}: sudo ./inv down, then {mend}",
            code=ExitCode.PREFLIGHT,
        )
    return Failure(
        f"{found} belongs to {owner}, and you are {us}.",
        evidence=["a command that ran as another account made it, such as sudo ./inv up"],
        next=f"{mend}, or run the command with sudo",
        code=ExitCode.PREFLIGHT,
    )


def account(uid: int | None = None) -> str:
    """Return the name of an account, ours without a number."""
    uid = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def hand_over(root: Path, paths: Iterable[Path]) -> None:
    """Give what root has made in somebody's checkout, and all that is in it, to the owner of the checkout."""
    if not of_another(root):
        return
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            hand_over(root, path.iterdir())
        give(root, path)


def of_another(root: Path) -> bool:
    """Whether we are root, and the checkout is somebody else's."""
    return os.getuid() == 0 and root.stat().st_uid != 0


def give(root: Path, path: Path) -> None:
    """Give one file or folder of root's to the owner of the checkout; what is a server's stays so."""
    owner = root.stat()
    with suppress(FileNotFoundError):
        if os.getuid() == 0 and path.lstat().st_uid == 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def running_as_another() -> bool:
    """Whether another account's supervisor of this checkout lives."""
    from stackhand.engines.embedded.launch import birth
    from stackhand.state import State

    with suppress(OSError, ValueError, KeyError):
        path = State(ROOT).run / "supervisord.json"  # its folder can be passed, and not listed
        found = json.loads(path.read_text(encoding="utf-8"))
        return path.stat().st_uid != os.getuid() and birth(int(found["pid"])) == found["birth"]
    return False


def _of_another(path: Path) -> Path | None:
    """Return what keeps us from a path and belongs to somebody else; None when all of it is ours."""
    way = [each for each in (*reversed(path.parents), path) if _exists(each)]
    barred = (each for each in way if not os.access(each, os.R_OK | (os.X_OK if each.is_dir() else 0)))
    return next((each for each in (*barred, *reversed(way[-2:])) if each.stat().st_uid != os.getuid()), None)


def _exists(path: Path) -> bool:
    with suppress(OSError):
        path.stat()
        return True
    return False


def _modes(path: Path) -> list[str]:
    return [f"{each}: mode {each.stat().st_mode & 0o7777:o}" for each in (path.parent, path) if _exists(each)]
