"""Let a project's own version run: `stackhand up` in a project with a lock is what `./inv up` is there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from stackhand.cli import console
from stackhand.project.state import State
from stackhand.system import program
from stackhand.system.roots import IS_CHECKOUT, LOCK, PROJECT, VARIABLE


def to_pinned_version(args: Sequence[str]) -> None:
    """Become the project's `inv`, if it has one and we are not what that runs; return otherwise.

    Args:
        args: of the command line.
    """
    script, lock = PROJECT / "inv", PROJECT / LOCK
    if IS_CHECKOUT or VARIABLE in os.environ or not (script.is_file() and lock.is_file()):
        return  # who names the project is one of our own processes, `inv` among them
    _tell(lock.read_text(encoding="utf-8", errors="replace"))
    try:
        program.replace([str(script), *args])
    except OSError:  # such as a file system without modes
        program.replace(["/bin/sh", str(script), *args])


def _tell(lock: str) -> None:
    """Say once that the project names another version than the one that was called."""
    from stackhand import VERSION
    from stackhand.adoption import pin

    pinned, reported = pin.pinned(lock), State(PROJECT).directory / "told-pin"
    if VERSION in pinned or (reported.is_file() and reported.read_text(encoding="utf-8") == f"{VERSION} {pinned}"):
        return
    console.notify(f"{LOCK} names {pinned}, and that runs here; this is {VERSION} ({sys.prefix})")
    with suppress(OSError):  # `inv` says what may not be written here
        reported.parent.mkdir(exist_ok=True)
        reported.write_text(f"{VERSION} {pinned}", encoding="utf-8")
