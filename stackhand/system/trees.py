"""Folders in which a service's account may have nested others deeper than Python's own functions can go."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

TOO_DEEP = {errno.EMFILE, errno.ENAMETOOLONG, errno.ELOOP}
Stays = list[tuple[Path, OSError]]


def size(folder: Path) -> int:
    """Return how many bytes the files of a folder have; what goes meanwhile, or cannot be looked at, has none."""
    total, left = 0, [os.fspath(folder)]
    while left:
        with suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_size
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
    return total


def remove(folder: Path) -> Stays:
    """Remove a folder with all that is in it, and follow no link; return what stays, and why."""
    stays = _remove(folder)
    if any(error.errno in TOO_DEEP for _, error in stays):
        with suppress(OSError):  # rm does not go down by recursion, nor by ever longer paths
            subprocess.run(["rm", "-rf", "--", folder], env={"PATH": os.defpath}, capture_output=True, check=False)
        stays = _remove(folder)
    return stays


def _remove(folder: Path) -> Stays:
    stays: Stays = []

    def note(_: Callable[..., Any], path: str, raised: Any) -> None:
        stays.append((Path(path), raised[1]))

    try:
        shutil.rmtree(folder, onerror=note)
    except RecursionError:
        stays.append((folder, OSError(errno.ELOOP, "folders are nested too deeply", str(folder))))
    return stays
