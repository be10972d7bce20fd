"""When the embedded engine takes a program for started, by what supervisord says of it."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.local.engines.embedded import gate, launch, processes
from stackhand.local.engines.embedded.accounts import Account
from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.local.engines.embedded.processes import Supervised
from stackhand.local.engines.embedded.servers import Program
from stackhand.local.engines.embedded.supervisor import Supervisor
from stackhand.project.memory import HealthQuestion, Memory
from stackhand.project.stack import loading
from stackhand.project.state import State

Says = Iterator[Supervised]


def waits(folder: Path, says: Says, **fields: Any) -> tuple[Any, Any, Path]:
    """Return a supervisor that says these things of a job, one after the other; the job; and its log."""
    (folder / "supervisord.log").write_text("exited: seed (exit status 3; not expected)\n")
    log = folder / "a" / "b" / "seed.log"
    log.parent.mkdir(parents=True)
    log.write_text("no table\n")
    program = Program(
        name="seed",
        argv=[],
        environment={},
        directory="",
        question=HealthQuestion(),
        ready=HealthQuestion(),
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
        processes=lambda **_: {"seed": next(says)}, call=lambda *_: None, log=folder / "supervisord.log"
    )
    return supervisor, server, log


def test_a_job_that_is_started_again_and_again_is_given_up(tmp_path: Path) -> None:
    runs = (Supervised("RUNNING", pid) for pid in itertools.count(100))
    supervisor, server, log = waits(tmp_path, runs, may_finish=True, job=True, restart="on-failure")
    with pytest.raises(Failure, match=r"seed failed \(exit status 3\), and nothing that waits for it was started"):
        gate.wait(supervisor, gate.Start(server, server.program(), log, 0), time.monotonic() + 5, Event())


def test_a_job_is_waited_for_until_it_ends(tmp_path: Path) -> None:
    runs = itertools.chain([Supervised("RUNNING", 100)] * 3, [Supervised("EXITED")])
    supervisor, server, log = waits(tmp_path, runs, may_finish=True, job=True)
    assert (
        gate.wait(supervisor, gate.Start(server, server.program(), log, 0), time.monotonic() + 5, Event()).message
        == "done"
    )


@pytest.mark.parametrize(
    "then",
    [
        Supervised("EXITED", exitstatus=1),
        Supervised("BACKOFF"),
        Supervised("RUNNING", os.getppid()),
    ],
    ids=["ended", "waits to be started again", "was started again"],
)
def test_a_worker_that_does_not_stay_up_is_told_with_its_log(tmp_path: Path, then: Supervised) -> None:
    runs = itertools.chain([Supervised("RUNNING")], itertools.repeat(then))
    supervisor, server, log = waits(tmp_path, runs)
    with pytest.raises(Failure, match="seed stopped while it started") as caught:
        gate.stay_up(supervisor, [(server, server.program(), log)])
    assert "no table" in caught.value.evidence


def test_a_worker_that_has_run_for_long_is_not_waited_for(tmp_path: Path) -> None:
    runs = iter([Supervised("RUNNING", 1)])  # the oldest process of any machine
    supervisor, server, log = waits(tmp_path, runs)
    gate.stay_up(supervisor, [(server, server.program(), log)])


@pytest.mark.parametrize(
    ("known", "starts"),
    [
        ({"api": Supervised("RUNNING")}, False),
        ({"api": Supervised("STOPPING")}, True),  # it runs, but not for long: an interrupted restart stops it
        ({}, True),
    ],
    ids=["runs", "is being stopped", "nobody supervises"],
)
def test_a_service_that_is_being_stopped_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: dict[str, Supervised], *, starts: bool
) -> None:
    engine = EmbeddedEngine(State(tmp_path))
    program: Any = SimpleNamespace(name="api", fingerprint="now")
    record = processes.Record("api", os.getpid(), str(launch.birth(os.getpid())), "now")
    monkeypatch.setattr(processes, "read", lambda *_: record)
    monkeypatch.setattr(engine.supervisor, "processes", lambda **_: known)
    assert engine._needs_start(program) is starts
    program.fingerprint = "changed"
    assert engine._needs_start(program)


def test_a_restart_starts_again_what_supervisord_has_ended_for_its_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "services:\n" + "".join(f"  {name}: {{image: x, x-embedded: {{command: x}}}}\n" for name in ("a", "b", "c"))
    (tmp_path / "compose.yaml").write_text(text, encoding="utf-8")
    engine = EmbeddedEngine(State(tmp_path), loading.load(tmp_path, {}))
    alive, asked = {"a", "b"}, list[list[str]]()
    monkeypatch.setattr(processes, "runs", lambda _, name: name in alive)
    monkeypatch.setattr(engine, "_stop", alive.difference_update)
    monkeypatch.setattr(engine, "prepare", lambda _: alive.clear())
    monkeypatch.setattr(engine, "_side_by_side", lambda names, _: asked.append(names) or ())
    monkeypatch.setattr(engine, "_stay_up", lambda _: None)
    list(engine.restart(["a"], 1.0))
    assert asked == [["a", "b"]]  # c did not run before


@pytest.mark.parametrize(("state", "again"), [("STOPPED", True), ("EXITED", False)], ids=["by order", "by itself"])
def test_a_service_that_an_order_stops_while_it_is_waited_for_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, *, again: bool
) -> None:
    """It ran when `up` looked; the order came from a restart that was interrupted."""
    engine, calls = EmbeddedEngine(State(tmp_path)), iter(["api stopped while it started", ""])
    server: Any = SimpleNamespace(service=SimpleNamespace(depends_on={}), prepare=list, reconcile=list)
    program: Any = SimpleNamespace(name="api", address="", job=False)
    started: list[str] = []

    def wait(*_: Any) -> SimpleNamespace:
        if what := next(calls):
            raise Failure(what)
        return SimpleNamespace(message="200 OK")

    monkeypatch.setattr(gate, "wait", wait)
    for name, value in {
        "_needs_start": lambda _: False,
        "_stop": lambda names, **_: list(names),
        "_write_files": lambda _: None,
    }.items():
        monkeypatch.setattr(engine, name, value)
    monkeypatch.setattr(engine.supervisor, "processes", lambda: {"api": Supervised(state)})
    monkeypatch.setattr(engine.supervisor, "start", started.append)
    if again:
        assert engine._finish(engine._begin(server, program), 1.0, Event()).changed
    else:
        with pytest.raises(Failure, match="stopped while it started"):
            engine._finish(engine._begin(server, program), 1.0, Event())
    assert started == ["api"] * again


def test_many_threads_that_wait_share_what_supervisord_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(method: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(method)
        time.sleep(0.05)
        return [{"name": "api", "pid": len(asked)}] if method.endswith("Info") else [True]

    supervisor = Supervisor(State(tmp_path))
    monkeypatch.setattr(supervisor, "_ask", answer)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: supervisor.processes(age=1.0), range(8)))
        list(pool.map(supervisor.start, map(str, range(8))))
    assert asked.count("supervisor.getAllProcessInfo") == 1
    assert asked.count("system.multicall") < 8
    supervisor.start("late")
    assert supervisor.processes(age=60.0) == {"api": Supervised(pid=len(asked))}


def test_what_does_not_depend_on_each_other_starts_at_the_same_time() -> None:
    needs = {"web": {"api", "cache"}, "api": {"db"}, "cache": set[str](), "db": set[str]()}
    order: list[str] = []

    def start(name: str, _: Event) -> str:
        order.append(name)
        time.sleep(0.05 if name == "db" else 0.15)
        return name

    assert list(gate.in_order(needs, str, start)) == ["db", "cache", "api", "web"]
    assert order == ["cache", "db", "api", "web"]  # the API while the cache was starting


def test_a_service_that_fails_ends_the_wait_for_the_others_at_once() -> None:
    left = Event()

    def start(name: str, stop: Event) -> str:
        if name == "db":
            raise Failure("db stopped")
        assert stop.wait(10)
        left.set()
        return name

    began = time.monotonic()
    with pytest.raises(Failure, match="db stopped"):
        list(gate.in_order({"db": [], "cache": [], "web": ["db"]}, str, start))
    assert left.is_set()
    assert time.monotonic() - began < 5


def test_a_program_that_an_earlier_version_wrote_down_is_still_known(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.make()
    state.write(Memory(services=["api"]))
    asked = {key: {"kind": "process"} for key in ("question", "ready")}
    account = {"uid": 1, "gid": 2, "prefix": ["setpriv"]}
    program = {"name": "api", "argv": [], "environment": {}, "directory": "", "address": "", "ports": [], **asked}
    (state.services / "api.json").write_text(json.dumps({**program, "account": account}))
    assert EmbeddedEngine(state).programs()["api"].account == Account(1, 2, prefix=("setpriv",))
