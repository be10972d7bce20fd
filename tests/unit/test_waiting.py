"""Whatever hangs, the answer comes in time, and says what hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from stackhand.cli.failure import Failure
from stackhand.containers import docker
from stackhand.local import status
from stackhand.local.engines import health
from stackhand.local.engines.compose.engine import Compose
from stackhand.local.engines.embedded import processes
from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.local.engines.embedded.existing import SILENT
from stackhand.local.engines.embedded.launch import birth
from stackhand.local.engines.embedded.servers import Program
from stackhand.project.memory import HealthQuestion, Memory
from stackhand.project.state import State
from stackhand.system import waiting

SERVICES = ("postgres", "redis", "api", "web")


@pytest.fixture
def silent() -> Iterator[ExitStack]:
    """Keeps sockets open at which somebody listens, and nobody answers."""
    with ExitStack() as sockets:
        yield sockets


def port_of(silent: ExitStack) -> int:
    server = silent.enter_context(socket.create_server(("127.0.0.1", 0)))
    return int(server.getsockname()[1])


def test_calls_run_side_by_side_and_those_that_hang_are_missing() -> None:
    never = threading.Event()
    began = time.monotonic()
    found = waiting.gather({"slow": never.wait, "quick": lambda: 1, "third": lambda: 2}, 0.2)
    assert found == {"quick": 1, "third": 2}
    assert time.monotonic() - began < 1.0


def test_an_error_in_time_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        waiting.gather({"wrong": lambda: 1 / 0}, 1.0)


@pytest.fixture
def frozen(folder: Path, silent: ExitStack) -> EmbeddedEngine:
    """A stack whose processes are all there, and answer nothing: as after a SIGSTOP."""
    state = State(folder)
    state.make()
    state.make_run()
    listening = silent.enter_context(socket.socket(socket.AF_UNIX))
    listening.bind(str(state.sockets / "supervisor.sock"))
    listening.listen()
    for name in (*SERVICES, processes.SUPERVISOR):
        record = {"pid": os.getpid(), "birth": birth(os.getpid()), "fingerprint": "", "earlier": []}
        (state.run / f"{name}.json").write_bytes(msgspec.json.encode(record))
    for name in SERVICES:
        port = port_of(silent)
        question = HealthQuestion("http", url=f"http://127.0.0.1:{port}/health")
        program = Program(
            name=name,
            argv=[],
            environment={},
            directory="/",
            question=question,
            ready=question,
            address="",
            ports=[port],
        )
        (state.services / f"{name}.json").write_bytes(msgspec.json.encode(program))
    state.write(Memory(engine="embedded", services=list(SERVICES)))
    return EmbeddedEngine(state)


def test_a_frozen_stack_is_told_within_two_seconds(frozen: EmbeddedEngine) -> None:
    began = time.monotonic()
    found = status.services(frozen)
    assert time.monotonic() - began < 2.0
    assert [(each.state, each.answer) for each in found] == [("unhealthy", "no answer within 1 s")] * 4
    assert frozen.notes == [SILENT]


def drip(server: socket.socket) -> None:
    """Answer a byte every 0.2 s: each read is in time, and all of them never end."""
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(20):
            time.sleep(0.2)
            connection.sendall(b"x")


def test_a_service_that_answers_byte_by_byte_does_not_keep_the_others_waiting(frozen: EmbeddedEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        path = frozen.state.services / "api.json"
        program = msgspec.json.decode(path.read_bytes(), type=Program)
        program.question = HealthQuestion("http", url=f"http://127.0.0.1:{server.getsockname()[1]}/")
        path.write_bytes(msgspec.json.encode(program))
        began = time.monotonic()
        found = {each.name: each.answer for each in status.services(frozen)}
    assert time.monotonic() - began < 2.0
    assert found["api"] == "no complete answer in time"
    assert found["web"] == "no answer within 1 s"


def test_a_stopped_process_is_told_also_of_a_service_that_did_not_answer_in_time(
    frozen: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        child.send_signal(signal.SIGSTOP)
        record = {"pid": child.pid, "birth": birth(child.pid), "fingerprint": "", "earlier": []}
        (frozen.state.run / "api.json").write_bytes(msgspec.json.encode(record))
        os.waitpid(child.pid, os.WUNTRACED)
        monkeypatch.setattr(health, "ALL_WITHIN", 0.1)
        found = {each.name: each.answer for each in status.services(frozen)}
    finally:
        child.kill()
        child.wait()
    why = f"no answer within 1 s: its process is stopped by a signal; kill -CONT {child.pid} resumes it"
    assert (found["api"], found["web"]) == (why, "no complete answer in time")


def test_a_container_engine_that_hangs_is_told_within_two_seconds(
    folder: Path, silent: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = silent.enter_context(socket.socket(socket.AF_UNIX))
    listening.bind(str(folder / "docker.sock"))
    listening.listen()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
    state = State(folder)
    state.make()
    state.write(Memory(engine="compose", name="shop-1234", services=list(SERVICES)))
    began = time.monotonic()
    with pytest.raises(Failure) as raised:
        status.services(Compose(state))
    assert time.monotonic() - began < 2.0
    assert (
        raised.value.what == "The state of the services is unknown: the container engine did not answer within 1.6 s."
    )
    assert raised.value.next == "./inv doctor"


def test_a_container_engine_on_another_machine_may_take_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nsleep 0.15\ncase $1 in ps) echo 1 ;; *) echo '[]' ;; esac\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("stackhand.local.engines.engine.ANSWER_WITHIN", 0.3)
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@far")
    state = State(tmp_path)
    state.make()
    state.write(Memory(engine="compose", name="shop-1234", services=["api"]))
    assert [each.state for each in status.services(Compose(state))] == ["stopped"]
    monkeypatch.setattr(docker, "REMOTE_WITHIN", 0.3)
    with pytest.raises(Failure, match=r"the container engine did not answer within 0\.3 s"):
        status.services(Compose(state))
