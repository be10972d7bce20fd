"""In which volume a container keeps the folder of its server's data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

REDIS = "/data"
PGDATA = "/var/lib/postgresql/data"
"""Where the official image has it, unless the variable of that name says otherwise."""


def of_postgres(environment: Iterable[str]) -> str:
    """Return the folder of PostgreSQL's data, from the environment of a container or image."""
    variables = dict(each.split("=", 1) for each in environment if "=" in each)
    return variables.get("PGDATA") or PGDATA


def volume_with(container: Mapping[str, Any], folder: str) -> str | None:
    """Return the volume of a container that has a folder, whole; None where it is in no volume."""
    wanted = PurePosixPath(folder)
    places = {PurePosixPath(each.get("Destination", "")): each for each in container.get("Mounts", [])}
    nearest: Mapping[str, Any] = next((places[each] for each in (wanted, *wanted.parents) if each in places), {})
    return str(nearest["Name"]) if nearest.get("Type") == "volume" else None


def own_volume(document: Mapping[str, Any], service: str, folder: str) -> str | None:
    """Return the volume that `docker compose config` gives a service at just that folder, with nothing else in it."""
    for mount in document["services"][service].get("volumes") or []:
        if mount["type"] == "volume" and PurePosixPath(mount["target"]) == PurePosixPath(folder):
            volume = document.get("volumes", {}).get(mount.get("source")) or {}
            if not volume.get("external") and not (mount.get("volume") or {}).get("subpath"):
                return volume.get("name")
    return None
