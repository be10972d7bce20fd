"""The documents of `up --json`, `status --json` and `down` (docs/output.md), as they cross a process."""

from __future__ import annotations

import msgspec


class PortReport(msgspec.Struct, frozen=True):
    """A port of this machine, or of all its interfaces, and the container's behind it."""

    address: str
    port: int | None
    target: int
    protocol: str


class ServiceReport(msgspec.Struct, frozen=True):
    """A service at one moment; the fields are those of `ServiceStatus`."""

    name: str
    state: str
    answer: str
    milliseconds: int
    address: str
    addresses: list[str]
    ports: list[int]
    published: list[PortReport]
    pid: int | None
    uptime_seconds: int | None


class StartedService(ServiceReport, frozen=True):
    """A service that `up` has started, or found, and the seconds that took."""

    seconds: float


class PathPart(msgspec.Struct, frozen=True):
    """A service on the slowest path of a start."""

    name: str
    seconds: float


class UpReport(msgspec.Struct, frozen=True):
    """What a start comes to, as far as the playbook knows it."""

    stack: str
    engine: str
    services: list[StartedService]
    unsupported: list[str]
    slowest_path: list[PathPart]


class UpDocument(UpReport, frozen=True):
    """The same, with what the verb adds: whether it changed anything, and the seconds it took."""

    changed: bool
    seconds: float


class StatusReport(msgspec.Struct, frozen=True):
    """The stack at one moment.

    Args:
        engine: None where it was never started.
        status: healthy, unhealthy or stopped.
        notes: what could not be checked, and what deserves to be known.
    """

    stack: str
    engine: str | None
    status: str
    services: list[ServiceReport]
    notes: list[str]


class DownReport(msgspec.Struct, frozen=True):
    """What was stopped, and data of which nobody knows whether it is removed."""

    stopped: list[str]
    volumes_removed: bool
    unknown: list[str]
