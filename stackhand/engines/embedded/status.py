"""How a program is that supervisord looks after, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from stackhand.engines import health
from stackhand.engines.embedded.processes import Record
from stackhand.engines.embedded.servers import Program
from stackhand.engines.status import ServiceStatus

WORDS = {"done": "exited with 0", "starting": "stopped, and will be started again"}
"""What is said in the place of an answer, where it is not `not running`."""


def of(program: Program, known: Mapping[str, object], record: Record | None) -> ServiceStatus:
    """Return how a program is.

    Args:
        program: as it was started.
        known: what supervisord says of it; empty when it says nothing.
        record: what was noted down when it was started, if it was.
    """
    if record is None or not record.alive:
        state = _ended(program, known, record)
        return ServiceStatus(program.name, state, WORDS.get(state, "not running"), program.address, program.ports)
    answer = health.ask(program.question)
    return ServiceStatus(
        program.name,
        "healthy" if answer.healthy else "unhealthy",
        answer.words,
        program.address,
        program.ports,
        milliseconds=answer.milliseconds,
        pid=record.pid,
        since=psutil.Process(record.pid).create_time(),
    )


def _ended(program: Program, known: Mapping[str, object], record: Record | None) -> str:
    word = known.get("statename", "")
    if program.one_shot and word == "EXITED" and known.get("exitstatus") == 0:
        return "done"
    if word == "BACKOFF":
        return "starting"
    return "failed" if record else "stopped"
