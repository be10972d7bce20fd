"""Can a service be worked with? If not, it does not run on this engine, or at all, or is starting, or unhealthy."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import psutil

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import ServiceStatus
from stackhand.local.verbs import not_running
from stackhand.project.stack.model import Service

STARTING = ("starting up", "not yet accepting connections", "in recovery mode", "LOADING")
"""How PostgreSQL and Redis answer who comes too early."""
FULL = ("too many clients", "connection slots", "max number of clients")
TAIL = 5


class Unhealthy(Failure):
    """The service runs, and is not healthy; some of what it is asked for may work all the same."""


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
        return Failure(
            f"{service.name} does not run on this engine: it has no x-embedded.",
            next=f"add x-embedded in {engine.stack.file}, or ./inv up --engine compose",
            code=ExitCode.UNHEALTHY,
        )
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
