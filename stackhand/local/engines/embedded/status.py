"""How a program is that supervisord looks after, and what it answers."""

from __future__ import annotations

import psutil

from stackhand.local.engines import health, status
from stackhand.local.engines.embedded import gate
from stackhand.local.engines.embedded.processes import UNKNOWN, Record, Supervised
from stackhand.local.engines.embedded.servers import Program
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.stack.model import Port

WORDS = {"done": "exited with 0", "starting": "stopped, and will be restarted"}
"""What is said in the place of an answer, where it is not `not running`."""


def of(program: Program, known: Supervised, record: Record | None, finished: str = "") -> ServiceStatus:
    """Return how a program is.

    Args:
        program: as it was started.
        known: what supervisord says of it.
        record: what was noted down when it was started, if it was.
        finished: the fingerprint of the program that came to its end last; for a supervisord that says nothing.
    """
    if record is None or not record.alive:
        state = (
            "done" if record and known == UNKNOWN and finished == record.fingerprint else _ended(program, known, record)
        )
        code = known.exitstatus if state == "failed" and known.statename == "EXITED" else 0
        output = f"exited with {code}" if code else WORDS.get(state, "not running")
        return ServiceStatus(program.name, state, output, program.address, program.ports)
    answer = health.ask(program.question)
    halted = status.halted(record.pid) if not answer.healthy or program.question.kind == "process" else ""
    output = f"{answer.message}: {halted}" if halted and not answer.healthy else halted or answer.message
    return ServiceStatus(
        program.name,
        "healthy" if answer.healthy and not halted else "unhealthy",
        output,
        program.address,
        program.ports,
        milliseconds=answer.milliseconds,
        pid=record.pid,
        since=_since(record.pid),
        published=[Port(port, port) for port in program.ports],
    )


def late(program: Program, record: Record) -> ServiceStatus:
    """Return the status of a program that has not answered in time."""
    return ServiceStatus.late(program.name, program.address, program.ports, status.halted(record.pid))


def _since(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:  # it ended while it was asked
        return None


def _ended(program: Program, known: Supervised, record: Record | None) -> str:
    if gate.finished(program, known):
        return "done"
    if known.statename == "BACKOFF":
        return "starting"
    return "failed" if record else "stopped"
