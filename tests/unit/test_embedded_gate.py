"""When the embedded engine takes a program for started, by what supervisord says of it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.local.engines.embedded import gate, launch, processes
from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.local.engines.embedded.servers import Program
from stackhand.project.state import State

Says = Iterator[dict[str, Any]]


def waits(folder: Path, says: Says, **fields: Any) -> tuple[Any, Any, Path]:
    """Return a supervisor that says these things of a job, one after the other; the job; and its log."""
    (folder / "supervisord.log").write_text("exited: seed (exit status 3; not expected)\n")
    log = folder / "a" / "b" / "seed.log"
    log.parent.mkdir(parents=True)
    log.write_text("no table\n")
    process = {"kind": "process"}
    program = Program(
        name="seed",
        argv=[],
        environment={},
        directory="",
        question=process,
        ready=process,
        address="",
        ports=[],
        **fields,
    )
    server = SimpleNamespace(
        program=lambda: program,
        service=SimpleNamespace(name="seed", job=fields.get("job", False)),
        will_pass=lambda _: False,
        hints=lambda _: [],
        remedy=lambda _: "fix it",
    )
    supervisor = SimpleNamespace(
        processes=lambda: {"seed": next(says)}, call=lambda *_: None, log=folder / "supervisord.log"
    )
    return supervisor, server, log


def test_a_job_that_is_started_again_and_again_is_given_up(tmp_path: Path) -> None:
    runs = ({"statename": "RUNNING", "pid": pid} for pid in itertools.count(100))
    supervisor, server, log = waits(tmp_path, runs, may_finish=True, job=True, restart="on-failure")
    with pytest.raises(Failure, match=r"seed failed \(exit status 3\), and nothing that waits for it was started"):
        gate.wait(supervisor, server, log, 0, time.monotonic() + 5)


def test_a_job_is_waited_for_until_it_ends(tmp_path: Path) -> None:
    runs = itertools.chain([{"statename": "RUNNING", "pid": 100}] * 3, [{"statename": "EXITED", "exitstatus": 0}])
    supervisor, server, log = waits(tmp_path, runs, may_finish=True, job=True)
    assert gate.wait(supervisor, server, log, 0, time.monotonic() + 5).message == "done"


@pytest.mark.parametrize(
    "then",
    [
        {"statename": "EXITED", "exitstatus": 1},
        {"statename": "BACKOFF"},
        {"statename": "RUNNING", "pid": os.getppid()},
    ],
    ids=["ended", "waits to be started again", "was started again"],
)
def test_a_worker_that_does_not_stay_up_is_told_with_its_log(tmp_path: Path, then: dict[str, Any]) -> None:
    runs = itertools.chain([{"statename": "RUNNING", "pid": 0}], itertools.repeat(then))
    supervisor, server, log = waits(tmp_path, runs)
    with pytest.raises(Failure, match="seed stopped while it started") as caught:
        gate.stay_up(supervisor, [(server, log)])
    assert "no table" in caught.value.evidence


def test_a_worker_that_has_run_for_long_is_not_waited_for(tmp_path: Path) -> None:
    runs = iter([{"statename": "RUNNING", "pid": os.getppid()}])
    supervisor, server, log = waits(tmp_path, runs)
    gate.stay_up(supervisor, [(server, log)])


@pytest.mark.parametrize(
    ("known", "starts"),
    [
        ({"api": {"statename": "RUNNING"}}, False),
        ({"api": {"statename": "STOPPING"}}, True),  # it runs, but not for long: an interrupted restart stops it
        ({}, True),
    ],
    ids=["runs", "is being stopped", "nobody supervises"],
)
def test_a_service_that_is_being_stopped_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], *, starts: bool
) -> None:
    engine = EmbeddedEngine(State(tmp_path))
    program = SimpleNamespace(fingerprint="now")
    record = processes.Record("api", os.getpid(), str(launch.birth(os.getpid())), "now")
    monkeypatch.setattr(engine, "servers", lambda: {"api": SimpleNamespace(program=lambda: program)})
    monkeypatch.setattr(processes, "read", lambda *_: record)
    monkeypatch.setattr(engine.supervisor, "processes", lambda: known)
    assert engine._needs_start("api") is starts
    program.fingerprint = "changed"
    assert engine._needs_start("api")


@pytest.mark.parametrize(("state", "again"), [("STOPPED", True), ("EXITED", False)], ids=["by order", "by itself"])
def test_a_service_that_an_order_stops_while_it_is_waited_for_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, *, again: bool
) -> None:
    """It ran when `up` looked; the order came from a restart that was interrupted."""
    engine, calls = EmbeddedEngine(State(tmp_path)), iter(["api stopped while it started", ""])
    server = SimpleNamespace(service=SimpleNamespace(depends_on={}), prepare=list, reconcile=list)
    program, started = SimpleNamespace(address="", job=False), []

    def wait(*_: Any) -> SimpleNamespace:
        if what := next(calls):
            raise Failure(what)
        return SimpleNamespace(message="200 OK")

    monkeypatch.setattr(gate, "wait", wait)
    for name, value in {
        "servers": lambda: {"api": server},
        "programs": lambda: {"api": program},
        "_needs_start": lambda _: False,
        "_stop": list,
        "_write_files": lambda _: None,
    }.items():
        monkeypatch.setattr(engine, name, value)
    monkeypatch.setattr(engine.supervisor, "processes", lambda: {"api": {"statename": state}})
    monkeypatch.setattr(engine.supervisor, "call", lambda *words: started.append(words[0]))
    if again:
        assert engine.start_one("api", 1.0).changed
    else:
        with pytest.raises(Failure, match="stopped while it started"):
            engine.start_one("api", 1.0)
    assert started == ["startProcess"] * again
