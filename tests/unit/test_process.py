"""The process that loads Ansible while a verb still looks: it becomes the playbook, or ends with nothing said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stackhand.ansible import process
from stackhand.project.memory import Memory
from stackhand.project.state import State
from tests.checkout import ROOT, eventually

# It fails where the word was evaluated, or did not come.
PLAY = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.assert": {"that": "word is match('.*{.*}')"}}],
    }
]


def has_ended(found: psutil.Process) -> bool:
    try:
        return not found.is_running() or found.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """The state of a project whose stack was left running, and which has a playbook `down`."""
    (tmp_path / "down.yml").write_text(json.dumps(PLAY))
    monkeypatch.setattr(process.roots, "part", lambda _: tmp_path)
    monkeypatch.setattr(process, "_ahead", [])
    state = State(tmp_path)
    state.make()
    state.write(Memory(up=True))
    yield state
    for child, connection, _ in process._ahead:
        connection.close()
        child.wait()


def test_the_playbook_runs_in_the_process_that_has_loaded_ansible(state: State, tmp_path: Path) -> None:
    process.begin(["down", "--volumes"], state.root)
    ((waiting, *_),) = process._ahead
    reading, writing = os.pipe()
    with (tmp_path / "log").open("wb") as log:
        child = process.start("down", {"word": "loaded {{ ahead }}"}, state, log=log, events=writing, lock=None)
    os.close(writing)
    assert child is waiting
    assert child.wait() == 0
    assert b"ansible.builtin.assert" in os.read(reading, 1 << 16)
    os.close(reading)
    assert process._ahead == []


def test_the_playbook_runs_where_that_process_has_died(state: State, tmp_path: Path) -> None:
    process.begin(["down"], state.root)
    ((waiting, *_),) = process._ahead
    waiting.kill()
    psutil.wait_procs([psutil.Process(waiting.pid)], timeout=5)
    reading, writing = os.pipe()
    with (tmp_path / "log").open("wb") as log:
        child = process.start("down", {"word": "{again}"}, state, log=log, events=writing, lock=None)
    os.close(writing)
    assert child is not waiting
    assert child.wait() == 0
    assert b"ansible.builtin.assert" in os.read(reading, 1 << 16)
    os.close(reading)


@pytest.mark.parametrize(
    ("words", "up"),
    [
        (["up"], True),
        (["down"], None),
        (["down", "--help"], True),
        (["status"], True),
        (["logs", "down"], True),
        (["--list"], True),
        ([], True),
    ],
)
def test_nothing_is_loaded_for_what_needs_no_playbook(words: list[str], up: bool | None, state: State) -> None:
    state.write(Memory(up=bool(up)))
    process.begin(words, state.root)
    assert process._ahead == []


def test_the_process_of_a_lease_loads_beside_ansible_and_ends_with_it(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PROJECT", ROOT)
    process.begin(["deploy", "-e", "staging"], state.root)
    ((waiting, connection, verb),) = process._ahead
    assert verb == "deploy"

    def beside() -> list[psutil.Process]:
        return [each for each in psutil.Process(waiting.pid).children() if process.BESIDE in each.cmdline()]

    eventually(beside, "it is started", timeout=30)
    (keeper,) = beside()
    connection.close()
    assert waiting.wait(30) == 0
    eventually(lambda: has_ended(keeper), "it has ended", timeout=30)


@pytest.mark.parametrize("verb", ["deploy", "rollback", "plan"])
def test_nothing_is_loaded_for_aws_before_its_packages_are_there(
    verb: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.packages.Packages, "current", lambda _: False)
    process.begin([verb, "-e", "staging"], state.root)
    assert process._ahead == []


def test_nothing_is_loaded_or_made_where_there_is_no_stack_yet(tmp_path: Path) -> None:
    for verb in ("up", "deploy"):
        process.begin([verb], tmp_path / "new")
    assert process._ahead == []
    assert not (tmp_path / "new").exists()


BEGINS = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from stackhand.ansible import process
process.begin(["down"], Path(sys.argv[1]))
print(process._ahead[0][0].pid, flush=True)
sys.stdin.read() if sys.argv[2] == "ends" else time.sleep(60)
"""


@pytest.mark.parametrize("how", ["ends", "stays"])
def test_it_ends_with_the_verb_that_needs_it_no_more(how: str, state: State) -> None:
    verb = subprocess.Popen(
        [sys.executable, "-c", BEGINS, str(state.root), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert verb.stdin
    assert verb.stdout
    with verb.stdin, verb.stdout:
        waiting = psutil.Process(int(verb.stdout.readline()))
        if how == "stays":
            verb.send_signal(signal.SIGKILL)
    verb.wait()
    eventually(lambda: has_ended(waiting), "the process has ended", timeout=30)
