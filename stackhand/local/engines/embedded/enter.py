"""Become an account in a view of the file system that has a way to what the account needs, and run a program there.

Root's checkouts often lie in a folder that no other account may enter. In a mount namespace of its own a process finds
an empty folder in that place, and in it only what it needs, where it always is. Nobody else sees any of that, it ends
with the process, and the account gets no right of root's. Only the standard library, as in launch.py, which does the
same without another interpreter.

    python -I -S enter.py '{"uid": 61200, "gid": 61200, "closed": ["/root"], "shown": ["/root/shop/web"]}' PROGRAM ...
"""

from __future__ import annotations

import ctypes
import json
import os
import stat
import sys
from pathlib import Path

NEW_NAMESPACE = 0x00020000  # CLONE_NEWNS of linux/sched.h; the others are of linux/mount.h
NO_SETUID, NO_DEVICES, BIND, RECURSIVE, PRIVATE = 2, 4, 4096, 16384, 1 << 18


def main(message: str, argv: list[str]) -> None:
    """Take on the account that `message` describes and run `argv`; without one, end: it could be done."""
    become(message)
    if argv:
        try:
            os.execvp(argv[0], argv)  # noqa: S606 - the very purpose
        except OSError as error:
            sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
            sys.exit(127)  # as a shell has it


def become(message: str) -> None:
    """Take on the account that `message` describes, in JSON, in its view of the file system."""
    spec = json.loads(message)
    show(spec["closed"], spec["shown"])
    os.setgroups([])
    os.setgid(spec["gid"])
    os.setuid(spec["uid"])


def show(closed: list[str], shown: list[str]) -> None:
    """Put an empty folder in the place of each closed one, and into it what is to be shown."""
    here, umask = Path.cwd(), os.umask(0o022)
    _call("unshare", NEW_NAMESPACE)
    _mount("none", "/", None, RECURSIVE | PRIVATE)  # nothing of this reaches the machine
    descriptors = {path: os.open(path, os.O_PATH) for path in sorted(shown) if Path(path).exists()}
    for folder in closed:
        _mount("tmpfs", folder, "tmpfs", NO_SETUID | NO_DEVICES, "mode=0755,size=1m")
    for path, descriptor in descriptors.items():
        if not Path(path).exists():  # else it is part of what is shown already
            _make(Path(path), folder=stat.S_ISDIR(os.fstat(descriptor).st_mode))
            _mount(f"/proc/self/fd/{descriptor}", path, None, BIND | RECURSIVE)
        os.close(descriptor)
    os.chdir(here if here.exists() else "/")
    os.umask(umask)


def _make(place: Path, *, folder: bool) -> None:
    (place if folder else place.parent).mkdir(parents=True, exist_ok=True)
    if not folder:
        place.touch()


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    args = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _call("mount", *args, ctypes.c_ulong(flags), None if data is None else data.encode())


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
