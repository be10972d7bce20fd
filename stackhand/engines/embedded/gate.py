"""The gate between a service and those that need it: wait until it can be used, or say why it cannot."""

from __future__ import annotations

import re
import time
import xmlrpc.client
from contextlib import suppress
from pathlib import Path

from stackhand.engines import health
from stackhand.engines.embedded.servers import Server
from stackhand.engines.embedded.supervisor import Gone, Supervisor
from stackhand.failure import ExitCode, Failure
from stackhand.loglines import tail

ENDED = {"FATAL", "EXITED", "STOPPED"}
LOG_LINES = 20
POLL = 0.03


def wait(supervisor: Supervisor, server: Server, log: Path, offset: int, deadline: float) -> health.Answer:
    """Return the answer with which a service that was told to start became usable.

    Args:
        supervisor: knows whether it runs.
        server: knows how to ask it, and what its last words mean.
        log: its log.
        offset: where in the log this start begins.
        deadline: on the monotonic clock.

    Raises:
        Failure: it stopped, or was not usable in time; the end of its log is the evidence.
    """
    program = server.program()
    answer = health.Answer(healthy=False, words="not asked yet")
    while time.monotonic() < deadline:
        found = supervisor.processes().get(program.name, {})
        if program.one_shot and found.get("statename") == "EXITED" and found.get("exitstatus") == 0:
            return health.Answer(healthy=True, words="done")
        state = found.get("statename")
        if state in ENDED or (state == "BACKOFF" and not server.will_pass(evidence(log, offset))):
            raise _stopped(supervisor, server, log, offset)
        answer = health.ask(program.ready) if found.get("pid") else answer
        if answer.healthy and not program.one_shot:
            return answer
        time.sleep(POLL)
    raise Failure(
        f"{program.name} did not become healthy in time: {answer.words}.",
        evidence=evidence(log, offset),
        next=f"./inv logs {program.name}",
        code=ExitCode.UNHEALTHY,
    )


def evidence(log: Path, offset: int) -> list[str]:
    """Return the end of what a service has said since `offset`, and where to find all of it."""
    lines = tail(log, LOG_LINES)
    try:
        with log.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode("utf-8", "replace").splitlines()[-LOG_LINES:] or lines
    except OSError:
        pass
    return [*(lines or ["(it said nothing)"]), f"log: {log.relative_to(log.parent.parent.parent)}"]


def _stopped(supervisor: Supervisor, server: Server, log: Path, offset: int) -> Failure:
    name = server.service.name
    with suppress(Gone, xmlrpc.client.Fault):  # it would be started again, and say everything twice
        supervisor.call("stopProcess", name, False)
    said = "\n".join(tail(supervisor.log, 50))
    exits = re.findall(rf"exited: {re.escape(name)} \(([^;)]*)", said)
    lines = evidence(log, offset)
    return Failure(
        f"{name} stopped while it started ({exits[-1] if exits else 'it could not be run'}).",
        evidence=lines,
        next=server.mend(lines),
        code=ExitCode.UNHEALTHY,
    )
