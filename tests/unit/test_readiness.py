"""Why a service cannot be worked with, in a sentence of its own for each reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from stackhand.cli.loglines import Line
from stackhand.local import status
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.memory import Memory
from stackhand.project.stack.model import Service


def refusal(state: str, answer: str, *, unsupported: tuple[str, ...] = (), runs: bool = True) -> Any:
    found = [ServiceStatus("postgres", state, answer)] if state else []
    engine = SimpleNamespace(
        stack=SimpleNamespace(file="compose.yaml"),
        unsupported=lambda: unsupported,
        status=lambda: found,
        runs=lambda: runs,
        lines=lambda name, _: [Line(name, "its last line", None)],
        state=SimpleNamespace(read=lambda: Memory(name="shop")),
    )
    return status.refusal(cast("Engine", engine), cast("Service", SimpleNamespace(name="postgres", port=1)))


@pytest.mark.parametrize(
    ("state", "answer", "what", "evidence", "next_command"),
    [
        ("", "", "shop is not running.", (), "./inv up"),
        ("stopped", "not running", "postgres is not running.", (), "./inv up"),
        ("failed", "exited with 1", "postgres is not running: exited with 1.", ("its last line",), "./inv up"),
        (
            "starting",
            "stopped, and will be restarted",
            "postgres is starting: stopped, and will",
            (),
            "./inv status",
        ),
        ("unhealthy", "the database system is starting up", "postgres is starting: the database", (), "./inv status"),
        ("unhealthy", "LOADING Redis is loading", "postgres is starting: LOADING", (), "./inv status"),
        (
            "unhealthy",
            "refused",
            "postgres is running but unhealthy: refused.",
            ("its last line",),
            "./inv logs postgres",
        ),
        (
            "unhealthy",
            "sorry, too many clients already",
            "postgres is running but unhealthy",
            (),
            "stop what holds its connections",
        ),
    ],
)
def test_each_reason_has_its_message(
    state: str, answer: str, what: str, evidence: tuple[str, ...], next_command: str
) -> None:
    found = refusal(state, answer)
    assert found.what.startswith(what)
    assert found.evidence == evidence
    assert found.next.startswith(next_command)
    assert found.code == 4


def test_a_healthy_service_can_be_worked_with_and_one_that_is_not_here_cannot() -> None:
    assert refusal("healthy", "accepting connections") is None
    assert "does not run on this engine" in refusal("", "", unsupported=("postgres",)).what
    assert refusal("unhealthy", "not running", runs=False).what == "shop is not running."
