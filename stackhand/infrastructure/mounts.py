"""What a service mounts here and does not on AWS: its volumes, its sources, its configuration files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stackhand.infrastructure import hosts
from stackhand.infrastructure.note import Note
from stackhand.project.composefile import FILE, read
from stackhand.project.composekeys import AWS, Level
from stackhand.project.model import Service, Stack

HAS_ITS_OWN = "not mounted; the image has what its Dockerfile copies"
NOT_THERE = "not there; COPY it into an image"
READ = 200_000
"""The letters of a file that are looked at."""


class Mount(NamedTuple):
    """One entry of `volumes`."""

    kind: str
    source: str
    target: str


def mounts(entry: Mapping[str, Any]) -> list[Mount]:
    """Return what a service mounts, in either of Compose's forms."""
    return [_mount(each) for each in entry.get("volumes") or []]


def binds(entry: Mapping[str, Any]) -> list[Mount]:
    """Return the paths of this machine that a service mounts."""
    return [each for each in mounts(entry) if each.kind == "bind"]


def notes(service: Service, stack: Stack, entry: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what becomes of each mount, and of each of the service's configs."""
    for mount in mounts(entry):
        yield Note(
            Level.IGNORED, "volumes", f"{mount.source or mount.target} ({service.name})", _lost(mount, service, stack)
        )
    for name, path in _configs(entry, stack.root).items():
        message = AWS["configs"].message + (_names(path, service, stack) if path else "")
        yield Note(Level.IGNORED, "configs", f"{name} ({service.name})", message)


def _lost(mount: Mount, service: Service, stack: Stack) -> str:
    if mount.kind == "tmpfs":
        return "not mounted; write it as tmpfs"
    if mount.kind != "bind":
        return f"what is written to {mount.target} is gone with each task"
    try:
        path = stack.root / Path(mount.source).expanduser()
        copied = service.build and path.is_dir() and _is_below(path, stack.root / service.build.context)
    except (OSError, RuntimeError):  # nobody of that name is here, or the folder is not ours to look into
        return NOT_THERE
    return HAS_ITS_OWN if copied else NOT_THERE + _names(path, service, stack)


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _mount(entry: Any) -> Mount:
    if isinstance(entry, dict):
        return Mount(str(entry.get("type", "volume")), str(entry.get("source") or ""), str(entry.get("target") or ""))
    source, _, rest = str(entry).partition(":")
    if not rest:
        return Mount("volume", "", source)
    return Mount("bind" if source[:1] in {".", "/", "~", "$"} else "volume", source, rest.partition(":")[0])


def _configs(entry: Mapping[str, Any], root: Path) -> dict[str, Path | None]:
    """Return the service's configs by name, with the files that they are made from."""
    defined = read(root / FILE).get("configs") or {}
    names = [each["source"] if isinstance(each, dict) else str(each) for each in entry.get("configs") or []]
    files = {name: (defined.get(name) or {}).get("file") for name in names}
    return {name: root / file if file else None for name, file in files.items()}


def _names(path: Path, service: Service, stack: Stack) -> str:
    """Say which other services a file leads to: nothing can rewrite that on AWS."""
    try:
        text = path.read_text(encoding="utf-8")[:READ] if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
    others = [name for name in stack.services if name != service.name and hosts.leads_to(text, name)]
    return f"; it leads to {', '.join(others)}, which has another address there" if others else ""
