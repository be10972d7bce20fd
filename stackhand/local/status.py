"""`./inv status`: how the stack is, once or again and again."""

from __future__ import annotations

import sys
import time

import msgspec

from stackhand.cli import console
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.local import engines
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import ServiceReport, ServiceStatus
from stackhand.project.state import State
from stackhand.system import waiting
from stackhand.system.roots import PROJECT

WATCH_INTERVAL = 1.0
STYLES = {"healthy": "green", "done": "green", "starting": "yellow", "unhealthy": "bold red", "failed": "bold red"}


class StatusReport(msgspec.Struct, frozen=True):
    """The stack at one moment: the document of `status --json` (docs/output.md).

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


def status(*, json: bool, watch: bool) -> None:
    """Show the stack.

    Args:
        json: a JSON document on stdout; with `watch`, one document a line.
        watch: again every second, until interrupted.

    Raises:
        Exit: not every service is healthy; there is nothing more to say about it.
    """
    if watch:
        _watch(json=json)
        return
    current = snapshot()
    if json:
        console.document(current)
    else:
        _show(current)
    if current.status != "healthy":
        raise Exit(ExitCode.UNHEALTHY)


def snapshot() -> StatusReport:
    """Return how the stack is now."""
    state = State(PROJECT)
    known = state.read()
    engine = engines.remembered(state)
    statuses = services(engine)
    return StatusReport(
        known.name or PROJECT.name,
        known.engine,
        overall(statuses),
        [service.report() for service in statuses],
        [*engine.notes, *open_ports(statuses)],
    )


def open_ports(services: list[ServiceStatus]) -> list[str]:
    """Return a sentence on the ports that other machines reach."""
    pairs = [(service.name, port) for service in services for port in service.published if port.is_open]
    once = {
        (name, port.published, port.protocol): f"{name} at {port}" for name, port in reversed(pairs)
    }  # not also IPv6
    return [f"reachable from the network: {', '.join(reversed(once.values()))}"] if pairs else []


def services(engine: Engine) -> list[ServiceStatus]:
    """Return how each service is; none when nothing runs.

    Raises:
        Failure: the engine cannot be asked, or does not answer in time.
    """
    answers = waiting.gather({"status": lambda: _ask(engine)}, engine.answer_within)
    if "status" not in answers:
        raise Failure(
            f"The state of the services is unknown: {engine.asked} did not answer within {engine.answer_within:g} s.",
            evidence=["they may still be running"],
            next="./inv doctor",
            code=ExitCode.UNHEALTHY,
        )
    return answers["status"]


def _ask(engine: Engine) -> list[ServiceStatus]:
    if engine.runs():
        return engine.status()
    engine.notes = list(filter(None, [engine.elsewhere()]))
    return []


def overall(services: list[ServiceStatus]) -> str:
    """Return healthy, unhealthy or stopped for the services together."""
    if all(service.state == "stopped" for service in services):
        return "stopped"
    return "healthy" if all(service.healthy for service in services) else "unhealthy"


def _show(snapshot: StatusReport) -> None:
    if snapshot.status == "stopped":
        console.write(f"{snapshot.stack} is not running; ./inv up starts it.")
        _show_notes(snapshot)
        return
    console.write(f"{snapshot.stack} on {snapshot.engine}: {snapshot.status}")
    rows = [
        [
            service.name,
            service.state,
            " ".join(service.addresses) or "-",
            _span(service.uptime_seconds),
            f"{service.answer} ({service.milliseconds} ms)",
        ]
        for service in snapshot.services
    ]
    console.table(rows, ["service", "state", "address", "up", "answer"], STYLES)
    _show_notes(snapshot)


def _show_notes(snapshot: StatusReport) -> None:
    for note in snapshot.notes:
        console.write(f"{console.glyph('note')} {note}")


def _watch(*, json: bool) -> None:
    clear = sys.stdout.isatty() and not json
    while True:
        current = snapshot()
        if json:
            console.document(current, indent=None)
        else:
            if clear:
                sys.stdout.write("\x1b[H\x1b[2J")
            _show(current)
        time.sleep(WATCH_INTERVAL)


def _span(seconds: int | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
