"""What to do about a container that did not get healthy, going by what it said."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime

from stackhand.containers.listing import Container
from stackhand.local.engines import damage
from stackhand.local.engines.compose import volumes

DISK = "free space on the disk of the container engine (docker system prune removes unused data), then ./inv up"


def of(service: str, container: Container, lines: Sequence[str]) -> str:
    """Return the next command; damaged data is moved away, never removed.

    Args:
        service: its name.
        container: of it.
        lines: the end of its log.
    """
    if damage.other_postgresql(lines):
        return "use the image of that version, or ./inv down --volumes, which removes the data"
    if damage.disk_full(lines):
        return DISK
    if damage.postgres(lines) and (volume := volumes.volume_with(container, _data_folder(container))):
        return f"{_move_away(volume, container)}, and ./inv db.restore NAME if you have a snapshot"
    if damage.redis(lines) and (volume := volumes.volume_with(container, volumes.REDIS)):
        return f"{_move_away(volume, container)}, which starts empty"
    return f"fix it, then ./inv up (full log: ./inv logs {service})"


def hints(container: Container, lines: Sequence[str]) -> list[str]:
    """Return further ways: a damaged append-only file can be cut off at the damage."""
    file, volume = damage.truncatable(lines), volumes.volume_with(container, volumes.REDIS)
    if file is None or volume is None or not file.endswith(".incr.aof"):
        return []
    path = f"/data/appendonlydir/{file}"
    check = ["docker", "run", "--rm", "-it", "-v", f"{volume}:/data", _image(container)]
    command = shlex.join([*check, "redis-check-aof", "--fix", path])
    return [f"{file} in the volume {volume} is damaged; to keep the data before the damage: {command}"]


def _move_away(volume: str, container: Container) -> str:
    """Return the commands that keep a volume's content in another one, and make room for a new one."""
    aside = f"{volume}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"  # of its own: nothing is mixed with another day's
    places = ["-v", f"{volume}:/from:ro", "-v", f"{aside}:/to"]
    copy = ["docker", "run", "--rm", "--user", "0", "--entrypoint", "cp", *places, _image(container)]
    command = shlex.join([*copy, "-a", "/from/.", "/to"])
    return f"./inv down && {command} && docker volume rm {volume}, then ./inv up"


def _data_folder(container: Container) -> str:
    return volumes.folder_of_postgres(container["Config"].get("Env") or [])


def _image(container: Container) -> str:
    return str(container["Config"]["Image"])
