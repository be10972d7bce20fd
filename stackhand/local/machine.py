"""Can this machine run the stack? Cheap questions, asked before any work."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure

NEEDED_MB = 200
"""What a new PostgreSQL data folder with its first WAL segments and our logs take, with room to work."""


def free_space(root: Path) -> dict[Path, int]:
    """Return the free space, in MB, of each disk the stack writes to, by a place on it."""
    data = root / ".stackhand" / "data"
    lowest = next(path for path in (data / "postgres", data, data.parent, root) if path.exists())
    places = [root] if lowest.stat().st_dev == root.stat().st_dev else [root, lowest]
    return {place: shutil.disk_usage(place).free // 1_000_000 for place in places}


def require(root: Path) -> str:
    """Return what this machine has, in words.

    Raises:
        Failure: it has not enough of it.
    """
    free = free_space(root)
    for place, megabytes in free.items():
        if megabytes < NEEDED_MB:
            raise Failure(
                f"The disk of {place} has {megabytes} MB free, and the stack needs {NEEDED_MB} MB.",
                next="free space there (old snapshots are in .stackhand/snapshots), then repeat the command",
                code=ExitCode.PREFLIGHT,
            )
    return f"Python {platform.python_version()}, {min(free.values()) / 1000:.1f} GB of disk free"
