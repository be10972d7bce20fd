"""What an engine reports: how a service started, how it is, and what data it keeps, in the words that all share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import psutil

from stackhand.cli.reporter import StepReport
from stackhand.local.engines.health import ANSWER_WITHIN
from stackhand.project.stack.model import EVERYWHERE, Port

HEALTHY = {"healthy", "done"}


def halted(pid: int) -> str:
    """Return in words that a process was stopped by a signal, as `kill -STOP` does; nothing when it was not."""
    try:
        stopped = psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.Error:
        return ""
    return f"its process is stopped by a signal; kill -CONT {pid} resumes it" if stopped else ""


class PortReport(msgspec.Struct, frozen=True):
    """A port of this machine, or of all its interfaces, and the container's behind it."""

    address: str
    port: int | None
    target: int
    protocol: str


class ServiceReport(msgspec.Struct, frozen=True):
    """A service at one moment, as `up --json` and `status --json` have it (docs/output.md): see `ServiceStatus`."""

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


@dataclass(frozen=True)
class ServiceStatus:
    """One service at one moment.

    Args:
        name: the service.
        state: healthy, unhealthy, starting, failed, stopped, or done (a one-shot service that exited with 0).
        answer: its last health answer in words.
        address: where people reach it; empty when nowhere.
        ports: the ports it listens at.
        published: the ports of this machine at which it is reached now, of whatever protocol; what the engine tells.
        milliseconds: how long the answer took.
        pid: its process, where it runs on this machine.
        since: when that started, seconds since the epoch.
    """

    name: str
    state: str
    answer: str
    address: str = ""
    ports: list[int] = field(default_factory=list)
    milliseconds: int = 0
    pid: int | None = None
    since: float | None = None
    published: list[Port] = field(default_factory=list)

    @classmethod
    def late(cls, name: str, address: str, ports: list[int], why: str = "") -> ServiceStatus:
        """Return the status of a service whose answer did not come to an end in time; why, if that is known."""
        said = f"no answer within {ANSWER_WITHIN:g} s: {why}" if why else "no complete answer in time"
        return cls(name, "unhealthy", said, address, ports)

    @property
    def addresses(self) -> list[str]:
        """Where people reach it: each port of TCP, first the one that is asked for its health.

        Of a port on all interfaces, that of IPv4: one that the engine chooses may have another number on IPv6.
        """
        ports = [port for port in self.published if port.protocol == "tcp"]
        by_ipv4 = {port.target for port in ports if ":" not in port.address}
        addresses = [
            f"{port.host}:{port.published}" for port in ports if port.address != "::" or port.target not in by_ipv4
        ]
        others = dict.fromkeys(each for each in addresses if not self.address.endswith(each.rpartition(":")[2]))
        return [*([self.address] if self.address else []), *others]

    @property
    def healthy(self) -> bool:
        """Whether nothing needs to be done about it."""
        return self.state in HEALTHY

    def report(self) -> ServiceReport:
        """Return the service as the documents have it."""
        return ServiceReport(
            self.name,
            self.state,
            self.answer,
            self.milliseconds,
            self.address,
            self.addresses,
            self.ports,
            [
                PortReport(port.address or EVERYWHERE, port.published, port.target, port.protocol)
                for port in self.published
            ],
            self.pid,
            None if self.since is None else max(0, round(time.time() - self.since)),
        )


@dataclass
class Started:
    """How the start of one service went.

    Args:
        name: the service.
        changed: whether anything was done; False when it ran already, as it would be started now.
        message: its last health answer.
        seconds: from the moment it was told to start.
        address: where it can be reached.
        after: the services it waited for.
        notes: sentences on what is worth knowing.
    """

    name: str
    changed: bool
    message: str
    seconds: float
    address: str
    after: list[str]
    notes: list[str] = field(default_factory=list)

    def step(self) -> StepReport:
        """Return the line that the console shows."""
        message = f"{self.message} at {self.address}" if self.address else self.message
        return StepReport(self.name, message, self.seconds, self.notes, self.after)


@dataclass(frozen=True)
class StoredData:
    """A folder or volume in which services keep data.

    Args:
        place: what it is, in words.
        size: in bytes; None where that is not known.
        since: when it was made, in seconds since the epoch; None where that is not known.
        volume: whether it is a volume of a container engine, and not in `.stackhand/`.
    """

    place: str
    size: int | None = None
    since: float | None = None
    volume: bool = False

    def __str__(self) -> str:
        size = "" if self.size is None else _readable(self.size)
        since = (
            "" if self.since is None else f"since {datetime.fromtimestamp(self.since, UTC).astimezone():%Y-%m-%d %H:%M}"
        )
        facts = ", ".join(filter(None, (size, since)))
        return f"{self.place} ({facts})" if facts else self.place


def _readable(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
