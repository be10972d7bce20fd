"""Another account's word on which processes are ours, and which socket is the supervisor's, counts for nothing."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stackhand.cli import console
from stackhand.cli.failure import Failure
from stackhand.local.engines import login
from stackhand.local.engines.embedded import launch, processes
from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.local.engines.embedded.supervisor import Supervisor, SupervisorUnavailable
from stackhand.project import ownership
from stackhand.project.memory import Memory
from stackhand.project.stack import loading
from stackhand.project.state import State
from tests import accounts

MALLORY = pwd.getpwnam(accounts.NAME).pw_uid


@pytest.fixture
def state(folder: Path) -> Iterator[State]:
    """A checkout whose path is too long for sockets of its own, so that they are to lie in /tmp."""
    root = folder / ("x" * 60)
    root.mkdir()
    found = State(root)
    with found.lock("./inv up", 1, print):
        pass
    assert found.sockets.parent == ownership.TEMPORARY
    yield found
    for path in {found.sockets} - {found.run}:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)


@pytest.fixture
def victim() -> Iterator[psutil.Process]:
    """A process of ours that is none of the stack's, and leads a session as supervisord does."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        yield psutil.Process(child.pid)
        child.kill()


def by_mallory(script: str, *words: str | Path) -> None:
    """Run a script as another account of this machine."""
    accounts.require_root()
    subprocess.run(["sh", "-ec", script, "sh", *words], user=MALLORY, group=MALLORY, extra_groups=[], check=True)


def record_of(victim: psutil.Process, path: Path) -> str:
    found = {
        "pid": victim.pid,
        "birth": launch.birth(victim.pid),
        "fingerprint": "",
        "earlier": [],
        "record": str(path),
    }
    return json.dumps(found)


def test_records_that_another_account_has_left_in_the_folder_of_sockets_end_nothing(
    state: State, victim: psutil.Process
) -> None:
    record = record_of(victim, state.sockets / "supervisord.json")
    script = 'mkdir "$1"; printf %s "$2" >"$1/supervisord.json"; printf %s "$2" >"$1/api.json"'
    by_mallory(script, state.sockets, record)
    engine = EmbeddedEngine(state)
    assert not engine.runs()
    assert engine.down(volumes=False) == []
    assert victim.is_running()


@pytest.mark.parametrize("theirs", ["file", "link"])
def test_a_record_of_another_account_is_none(state: State, victim: psutil.Process, folder: Path, theirs: str) -> None:
    if theirs == "file":
        accounts.require_root()
    state.make_run()
    for name in (processes.SUPERVISOR, "api"):
        path = state.run / f"{name}.json"
        written = path if theirs == "file" else folder / path.name
        written.write_text(record_of(victim, path))
        if theirs == "file":
            os.chown(path, MALLORY, -1)
        else:
            path.symlink_to(written)
    assert processes.records(state.run) == {}
    assert Supervisor(state).shutdown(0) == []
    assert victim.is_running()


@pytest.mark.parametrize("supervised", [False, True])
def test_a_record_that_names_a_process_outside_the_supervisors_session_ends_nothing(
    state: State, victim: psutil.Process, *, supervised: bool
) -> None:
    state.make_run()
    (state.run / "api.json").write_text(record_of(victim, state.run / "api.json"))
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as leader:
        if supervised:
            path = state.run / "supervisord.json"
            path.write_text(record_of(psutil.Process(leader.pid), path))
        assert Supervisor(state).shutdown(0) == []
        assert (leader.poll() is not None) is supervised
        leader.kill()
    assert victim.is_running()


def test_an_ordinary_accounts_record_never_ends_a_process_of_another(state: State, victim: psutil.Process) -> None:
    found = processes.Record("supervisord", victim.pid, str(launch.birth(victim.pid)), "", owner=MALLORY)
    assert processes.living({processes.SUPERVISOR: found}) == []
    ours = processes.Record("supervisord", victim.pid, str(launch.birth(victim.pid)), "", owner=os.getuid())
    assert [each.pid for each in processes.living({processes.SUPERVISOR: ours})] == [victim.pid]


@pytest.mark.parametrize("theirs", ["folder", "socket"])
def test_a_supervisor_of_another_account_is_asked_nothing(state: State, theirs: str) -> None:
    accounts.require_root()
    state.make_run()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(state.sockets / "supervisor.sock"))
        listening.listen()
        os.chown(state.sockets if theirs == "folder" else state.sockets / "supervisor.sock", MALLORY, -1)
        with pytest.raises(SupervisorUnavailable):
            Supervisor(state).call("getState")
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("script", ['mkdir "$1"', 'mkdir "$1.d"; ln -s "$1.d" "$1"', 'touch "$1"'])
def test_socket_folder_of_another_account_is_refused_with_fix(state: State, script: str) -> None:
    by_mallory(script, taken := state.sockets)
    with pytest.raises(Failure, match="could impersonate this stack's supervisor") as raised:
        state.make_run()
    assert f"it belongs to {accounts.NAME}, mode " in raised.value.evidence[0]
    assert raised.value.next == "rm .stackhand/key (the folder then gets another name), then ./inv up"
    state.key_file.unlink()
    state.make_run()
    assert state.sockets != taken
    state.remove_run()
    for path in (taken, taken.with_name(f"{taken.name}.d")):
        subprocess.run(["rm", "-rf", str(path)], check=True)


def test_writable_socket_folder_is_refused_with_working_fix(state: State) -> None:
    state.make_run()
    state.run.chmod(0o777)
    for refused in (state.make_run, EmbeddedEngine(state).runs):
        with pytest.raises(Failure, match="could impersonate this stack's supervisor") as raised:
            refused()
    command, _, rest = raised.value.next.partition(",")
    assert (command, rest) == (f"chmod go-w {state.run}", " then repeat the command")
    subprocess.run(["sh", "-c", command], check=True)
    state.make_run()
    assert not EmbeddedEngine(state).runs()


FILE = """\
name: shop-1234
services:
  postgres: {image: "postgres:16", ports: ["127.0.0.1:9001:5432"], environment: {POSTGRES_PASSWORD: sesame}}
  redis:
    image: "redis:8"
    ports: ["127.0.0.1:9002:6379"]
    environment: {REDIS_PASSWORD: sesame}
    x-embedded: {engine: redis}
"""


def kept_of(state: State) -> set[str]:
    """Return the digests of settings with passwords that are kept: of a program, and of the login of a volume."""
    stack = loading.load(state.root, {})
    program = EmbeddedEngine(state, stack).servers()["redis"].program()
    return {program.fingerprint, login.fingerprint(stack.services["postgres"], state)}


def test_what_is_kept_of_a_password_does_not_tell_whether_a_guess_is_right(state: State) -> None:
    (state.root / "docker-compose.yml").write_text(FILE)
    kept = kept_of(state)
    assert kept_of(state) == kept
    state.key_file.rename(state.root / "not for others")
    guessed = kept_of(state)  # the right password, by somebody who has not the key
    assert not kept & guessed


@pytest.mark.parametrize("owner", [0, MALLORY], ids=["root's", "somebody's"])
def test_another_account_cannot_keep_the_turn_and_the_checkouts_owner_can_take_it(folder: Path, owner: int) -> None:
    accounts.require_root()
    os.chown(folder, owner, owner)
    state = State(folder)
    state.make()
    state.directory.chmod(0o755)
    (state.directory / "lock").touch(0o644)  # as it was made before
    with state.lock("./inv up", 1, print):
        pass
    take = ["flock", "--nonblock", str(state.directory / "lock"), "true"]
    for uid in (owner, MALLORY if owner == 0 else 65533):
        taken = subprocess.run(take, user=uid, group=uid, extra_groups=[], check=False, stderr=subprocess.PIPE)
        assert (taken.returncode == 0) is (uid == owner)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_what_is_written_of_a_checkout_is_for_its_owner(
    folder: Path, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    state = State(folder)
    monkeypatch.setattr(console, "PROJECT", folder)
    before = os.umask(umask)
    try:
        state.directory.mkdir()
        assert "crash-" in console.defect("up", ValueError("sesame")).evidence[0]
        with state.lock("./inv up", 1, print):
            state.make_run()
            state.write(Memory(name="shop"))
            launch._note_down(state.run / "api.json", "", 0o600)
    finally:
        os.umask(before)
    modes = {each.name.partition("-")[0]: each.stat().st_mode & 0o777 for each in state.directory.rglob("*")}
    closed = dict.fromkeys(("key", "state.json", "api.json", "crash", "lock"), 0o600)
    folders = {"run": 0o711, "config": 0o711, "data": 0o711, **dict.fromkeys(("logs", "services", "snapshots"), 0o700)}
    assert modes == {**closed, **folders, ".gitignore": modes[".gitignore"]}
    assert not state.directory.stat().st_mode & 0o022
