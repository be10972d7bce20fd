"""The volumes of a checkout, which outlive its containers and a change of the engine; and which folder is in which."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker, listing
from stackhand.local.engines.status import StoredData
from stackhand.project import settings
from stackhand.project.state import State

REDIS = "/data"
PGDATA = "/var/lib/postgresql/data"
"""Where the official image has it, unless the variable of that name says otherwise."""


def remembered(state: State) -> bool:
    """Whether containers and volumes were made here and not removed since."""
    known = state.read()
    return bool(known.compose.project or known.served)


def project(state: State) -> str:
    """Return the Compose project of the containers and volumes; nothing when there are none."""
    known = state.read()
    return known.compose.project or known.name


def awaited(state: State) -> str:
    """Return the address of the engine that they were made on, as long as `down` has not given that up."""
    known = state.read().compose
    return "" if known.given_up else known.host


def require_own(state: State) -> None:
    """Refuse to remove the volumes of another checkout, of which this one is a copy.

    Raises:
        Failure: they were made in another folder, which is still there.
    """
    folder = Path(state.read().compose.root or state.root)
    if folder.exists() and not folder.samefile(state.root):
        raise Failure(
            f"The volumes of {project(state)} belong to the checkout {folder}; this checkout is a copy of it.",
            next="./inv down --volumes there; or write "
            f"{settings.own_name(state.root)} into .env here: that makes it a stack of its own",
            code=ExitCode.PREFLIGHT,
        )


def shared(state: State, volumes: Sequence[str]) -> list[str]:
    """Return a sentence on volumes that the first start of a checkout finds under its name; see `settings.own_name`."""
    if remembered(state) or not volumes:
        return []
    names, own = ", ".join(volumes), settings.own_name(state.root)
    return [f"uses existing volumes, of docker compose or of another checkout: {names}; {own} in .env makes new ones"]


def described(names: Sequence[str]) -> list[StoredData]:
    """Return volumes with their size and age, as far as the engine tells them."""
    if not names:
        return []
    volumes = {each["Name"]: each for each in json.loads(docker.run("volume", "inspect", *names).stdout or "[]")}
    sizes = _sizes()
    return [
        StoredData(f"the volume {name}", sizes.get(name), _created(volumes.get(name, {})), volume=True)
        for name in names
    ]


def _sizes() -> dict[str, int]:
    """Return the bytes in each volume by name; nothing where the engine cannot tell that at once."""
    try:
        usage = listing.volume_usage()
    except (Failure, ValueError):
        return {}
    return {each["Name"]: size for each in usage if (size := (each.get("UsageData") or {}).get("Size", -1)) >= 0}


def _created(volume: dict[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(str(volume.get("CreatedAt"))).timestamp()
    except ValueError:
        return None


def folder_of_postgres(environment: Iterable[str]) -> str:
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
