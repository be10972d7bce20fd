"""The gate between a service and those that need it: wait until it can be used, or say why it cannot.

What does not depend on each other goes through at the same time.
"""

from __future__ import annotations

import re
import time
import xmlrpc.client
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import suppress
from graphlib import TopologicalSorter
from pathlib import Path
from threading import Event
from typing import NamedTuple, TypeVar

import psutil

from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import tail
from stackhand.local.engines import health
from stackhand.local.engines.embedded.processes import UNKNOWN, Supervised
from stackhand.local.engines.embedded.servers import Program, Server
from stackhand.local.engines.embedded.supervisor import Supervisor, SupervisorUnavailable

Begun = TypeVar("Begun")
Result = TypeVar("Result")

UP = {"STARTING", "RUNNING"}
ENDED = {"FATAL", "EXITED", "STOPPED"}
LOG_LINES = 20
CRASHES = 2
"""How often a job may end in failure until it is given up, for its restart policy would go on for long."""
POLL = 0.03
"""Seconds between two questions to a service that has just been started."""
SLOWER, SLOWEST = 0.05, 0.2
"""What part of its start so far a service may wait for the next question, and the most seconds: 34 that are asked all
the time start later for it."""
STATE_AGE = 0.2
"""Seconds that supervisord's answer may be old where the service itself is asked, too: many may wait for it at once."""


class Start(NamedTuple):
    """A service that was told to start.

    Args:
        server: knows what its last words mean.
        program: as it was told to start.
        log: its log.
        offset: where in the log this start begins.
    """

    server: Server
    program: Program
    log: Path
    offset: int


def in_order(
    needs: Mapping[str, Iterable[str]], begin: Callable[[str], Begun], finish: Callable[[Begun, Event], Result]
) -> Iterator[Result]:
    """Begin each name once those that it needs have finished, finish it in a thread of its own, and yield the results.

    Args:
        needs: the names, each with those of them that come before it.
        begin: is called here, so that an interrupt ends it at once.
        finish: gets what that has returned, and an event that is set once nobody waits any more: it has to return soon.

    Raises:
        Exception: the first that a call raised.
    """
    stop, order = Event(), TopologicalSorter(needs)
    order.prepare()
    running: dict[Future[Result], str] = {}
    with ThreadPoolExecutor(max_workers=len(needs) or 1) as pool:
        try:
            while order.is_active():
                for name in order.get_ready():
                    running[pool.submit(finish, begin(name), stop)] = name
                for future in wait_for(running, return_when=FIRST_COMPLETED).done:
                    order.done(running.pop(future))
                    yield future.result()
        finally:
            stop.set()


def wait(supervisor: Supervisor, start: Start, deadline: float, stop: Event) -> health.Answer:
    """Return the answer with which a service that was told to start became usable.

    Args:
        supervisor: knows whether it runs.
        start: of the service.
        deadline: on the monotonic clock.
        stop: set when nobody waits any more.

    Raises:
        Failure: it stopped, or was not usable in time; the end of its log is the evidence.
    """
    server, program, log, offset = start
    answer = health.Answer(healthy=False, message="not checked yet")
    runs, began = set(), time.monotonic()
    while time.monotonic() < deadline and not stop.is_set():
        process = supervisor.processes(age=POLL if program.may_finish else STATE_AGE).get(program.name, UNKNOWN)
        if finished(program, process):
            return health.Answer(healthy=True, message="done")
        runs.add(process.pid)
        state = process.statename
        if state in ENDED or (state == "BACKOFF" and not server.will_pass(evidence(log, offset))):
            raise _stopped(supervisor, start)
        if program.job and len(runs - {0}) > CRASHES:
            raise _stopped(supervisor, start)
        answer = health.ask(program.ready) if process.pid else answer
        if answer.healthy and not program.job:
            return answer
        stop.wait(min(max(POLL, SLOWER * (time.monotonic() - began)), SLOWEST))
    what = "did not finish" if program.job else "did not become healthy"
    raise Failure(
        f"{program.name} {what} in time: {answer.message}.",
        evidence=evidence(log, offset),
        next=f"./inv logs {program.name}",
        code=ExitCode.UNHEALTHY,
    )


def stay_up(supervisor: Supervisor, servers: Iterable[tuple[Server, Program, Path]]) -> None:
    """Wait until services that nobody can ask, with their programs and logs, have stayed up for a moment, all at once.

    Raises:
        Failure: one stopped; the end of its log is the evidence.
    """
    first: dict[str, int] = {}
    waiting = {server.service.name: Start(server, program, log, 0) for server, program, log in servers}
    while waiting:
        known = supervisor.processes()
        for name, start in list(waiting.items()):
            process = known.get(name, UNKNOWN)
            if finished(start.program, process) or not known:  # nobody supervises it: the status will tell
                del waiting[name]
            elif process.statename not in UP or process.pid != first.setdefault(name, process.pid):
                raise _stopped(supervisor, start)
            elif _age(process.pid) >= health.UP_AFTER:
                del waiting[name]
        if waiting:
            time.sleep(POLL)


def finished(program: Program, process: Supervised) -> bool:
    """Whether a program has come to the end it was started for, by what supervisord says of it."""
    return program.may_finish and process.statename == "EXITED" and process.exitstatus == 0


def _age(pid: int) -> float:
    try:
        return time.time() - psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def evidence(log: Path, offset: int) -> list[str]:
    """Return the end of what a service has said since `offset`, and where to find all of it."""
    lines = tail(log, LOG_LINES)
    with suppress(OSError), log.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:] or lines
    return [*(lines or ["(no output)"]), f"log: {log.relative_to(log.parent.parent.parent)}"]


def _stopped(supervisor: Supervisor, start: Start) -> Failure:
    server, name = start.server, start.server.service.name
    with suppress(SupervisorUnavailable, xmlrpc.client.Fault):  # it would be started again, and say everything twice
        supervisor.call("stopProcess", name, False)
    output = "\n".join(tail(supervisor.log, 50))
    exits = re.findall(rf"exited: {re.escape(name)} \(([^;)]*)", output)
    lines, how = evidence(start.log, start.offset), exits[-1] if exits else "it could not be started"
    what = f"stopped while it started ({how})"
    if server.service.job:
        what = f"failed ({how}), and nothing that waits for it was started"
    return Failure(
        f"{name} {what}.", evidence=[*lines, *server.hints(lines)], next=server.remedy(lines), code=ExitCode.UNHEALTHY
    )
