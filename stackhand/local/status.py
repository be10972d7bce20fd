"""How the services are, what they say, and why one cannot be worked with: `./inv status` and `./inv logs`."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import psutil

from stackhand.cli import console, loglines
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.local import engines
from stackhand.local.engines.engine import Engine, not_here
from stackhand.local.engines.status import ServiceReport, ServiceStatus
from stackhand.project.stack.model import Service
from stackhand.project.state import State
from stackhand.system import waiting
from stackhand.system.roots import PROJECT

WATCH_INTERVAL = 1.0
STYLES = {"healthy": "green", "done": "green", "starting": "yellow", "unhealthy": "bold red", "failed": "bold red"}
STARTING = ("starting up", "not yet accepting connections", "in recovery mode", "LOADING")
"""How PostgreSQL and Redis answer who comes too early."""
FULL = ("too many clients", "connection slots", "max number of clients")
TAIL = 5
SCANNED = 100_000
"""Lines of a log that are looked at for those of a time."""


class Unhealthy(Failure):
    """The service runs, and is not healthy; some of what it is asked for may work all the same."""


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
    else:
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


def logs(services: Sequence[str], *, follow: bool, since: str | None, lines: int) -> None:
    """Show the end of the logs.

    Args:
        services: whose; all, when empty.
        follow: go on until interrupted.
        since: only lines younger than this: 10m, 2h, 1d, or an ISO 8601 time.
        lines: how many of each service, at most.

    Raises:
        Failure: a service is not known, or `since` or `lines` cannot be understood.
    """
    if lines < 1:
        raise Failure(f"--lines {lines} shows nothing.", next="use a number from 1", code=ExitCode.USAGE)
    start = loglines.since_of(since) if since else None
    engine = engines.remembered(State(PROJECT))
    known = engine.started()
    if not known:
        raise Failure("There are no logs yet.", next="./inv up", code=ExitCode.UNHEALTHY)
    if unknown := [name for name in services if name not in known]:
        raise Failure(
            f"There is no service {unknown[0]!r}.", evidence=[f"known: {', '.join(known)}"], code=ExitCode.USAGE
        )
    chosen, count = list(services) or known, SCANNED if start else lines
    write = loglines.writer(chosen)
    following = engine.follow(chosen) if follow else ()
    last = [loglines.since(engine.lines(name, count), start)[-lines:] for name in chosen]
    for line in itertools.chain(loglines.merged(last), following):
        write(line.service, line.text)


def not_running(state: State) -> Failure:
    """Return the failure of a verb that needs the stack to run."""
    name = state.read().name or PROJECT.name
    return Failure(f"{name} is not running.", next="./inv up", code=ExitCode.UNHEALTHY)


def require(engine: Engine, service: Service) -> None:
    """Return when a service can be used.

    Raises:
        Failure: it cannot; why, and what to do.
    """
    failure = refusal(engine, service)
    if failure:
        raise failure


def refusal(engine: Engine, service: Service) -> Failure | None:
    """Return why a service cannot be used; None when it can."""
    if service.name in engine.unsupported():
        return not_here(engine, service.name, ExitCode.UNHEALTHY)
    status = next((each for each in engine.status() if each.name == service.name), None)
    if status is None or not engine.runs():
        return not_running(engine.state)
    if status.healthy:
        return None
    if status.state == "starting" or any(words in status.answer for words in STARTING):
        return _failure(f"{status.name} is starting: {status.answer}.", "./inv status, then repeat the command")
    if status.state == "unhealthy":
        return _unhealthy(engine, service, status)
    what = f"{status.name} is not running" + ("." if status.answer == "not running" else f": {status.answer}.")
    return _failure(what, "./inv up", *_log(engine, status) if status.state == "failed" else ())


def _unhealthy(engine: Engine, service: Service, status: ServiceStatus) -> Unhealthy:
    what = f"{status.name} is running but unhealthy: {status.answer}."
    evidence, next_command = _log(engine, status), f"./inv logs {status.name}"
    if any(words in status.answer for words in FULL):
        evidence = _clients(service.port or 0)
        next_command = f"stop what holds its connections, or ./inv restart {status.name}, which closes them all"
    return Unhealthy(what, evidence=evidence, next=next_command, code=ExitCode.UNHEALTHY)


def _failure(what: str, next_command: str, *evidence: str) -> Failure:
    return Failure(what, evidence=evidence, next=next_command, code=ExitCode.UNHEALTHY)


def _log(engine: Engine, status: ServiceStatus) -> list[str]:
    return [line.text for line in engine.lines(status.name, TAIL)]


def _clients(port: int) -> list[str]:
    """Return which processes of this machine hold connections to a port, as far as we may see them."""
    counted: Counter[str] = Counter()
    with suppress(psutil.Error):
        for each in psutil.net_connections("tcp"):
            if each.raddr and each.raddr.port == port and each.pid and each.status == psutil.CONN_ESTABLISHED:
                with suppress(psutil.Error):
                    counted[f"{psutil.Process(each.pid).name()} (pid {each.pid})"] += 1
    return [f"{name} holds {number} of its connections" for name, number in counted.most_common(TAIL)]
