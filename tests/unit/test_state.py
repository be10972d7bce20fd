"""What a checkout remembers, and who may change it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.memory import ComposeProject, HealthQuestion, Memory
from stackhand.project.state import LOCK_HELD, SOCKET_PATH_LIMIT, State


def test_facts_are_remembered_and_forgotten(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.make()
    state.write(Memory(engine="embedded", name="shop"))
    with state.edit() as memory:
        memory.name, memory.up = "", True
    assert State(tmp_path).read() == Memory(engine="embedded", up=True)
    assert json.loads(state.file.read_text()) == {"engine": "embedded", "up": True}


def test_all_is_forgotten_but_the_engine(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.forget()
    assert not state.file.exists()
    state.make()
    state.write(Memory(engine="compose", name="shop", services=["api"]))
    state.forget()
    assert state.read() == Memory(engine="compose")


def test_folders_that_may_hold_secrets_are_for_their_owner(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.make()
    assert {each.stat().st_mode & 0o777 for each in (state.logs, state.services, state.snapshots)} == {0o700}


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("{broken", "JSON is malformed"),
        ("[]", "Expected `object`, got `array`"),
        ('{"engine": "docker"}', "Invalid enum value 'docker' - at `$.engine`"),
        ('{"services": "api"}', "Expected `array`, got `str` - at `$.services`"),
        ('{"served": {"api": {"question": {"kind": "udp"}}}}', "Invalid enum value 'udp'"),
    ],
)
def test_a_memory_that_somebody_broke_is_told_in_one_sentence(tmp_path: Path, text: str, evidence: str) -> None:
    state = State(tmp_path)
    state.make()
    state.file.write_text(text)
    with pytest.raises(Failure, match=f"{re.escape(str(state.file))} is not as Stackhand wrote it") as refused:
        state.read()
    assert refused.value.evidence[0].startswith(evidence)
    assert refused.value.code == ExitCode.PREFLIGHT


def test_a_memory_of_an_earlier_version_is_understood(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.make()
    served = {"question": {"kind": "redis", "port": 6379, "password": "x"}, "target": "", "gone": True}
    known = {"engine": "compose", "served": {"redis": served}, "compose": {"project": "shop"}}
    state.file.write_text(json.dumps(known))
    assert state.read().served["redis"].question == HealthQuestion("redis", port=6379, password="x")
    assert state.read().compose == ComposeProject("shop")


@pytest.mark.parametrize("length", [10, 60, 200])
def test_sockets_lie_where_their_path_is_short_enough(tmp_path: Path, length: int) -> None:
    root = tmp_path / ("x" * (length // 2)) / ("y" * (length // 2))
    socket = State(root).sockets / "postgres" / ".s.PGSQL.65535"
    assert len(str(socket)) <= SOCKET_PATH_LIMIT or len(str(tmp_path)) > 80


def test_the_folder_of_sockets_is_the_same_whatever_tmpdir_says_and_made_for_a_start_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = State(tmp_path / ("x" * 100))
    before = state.sockets
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert state.sockets == before
    state.root.mkdir()
    state.make()
    assert not state.sockets.exists()


def test_checkout_lock_timeout_names_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from stackhand.project.state import State\n"
        "with State(pathlib.Path(sys.argv[1])).lock('./inv up', 1, print):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    told: list[str] = []
    with (
        pytest.raises(Failure, match=rf"\./inv up \(pid {holder.pid}, since \S+ \w+\) is still working"),
        State(tmp_path).lock("./inv down", 0.3, told.append),
    ):
        pass
    assert told == [f"waiting for {State(tmp_path).holder()} ..."]
    holder.kill()
    holder.communicate()
    with State(tmp_path).lock("./inv down", 5, told.append):
        pass


def test_a_playbook_shares_the_turn_of_the_verb_that_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(tmp_path)
    with state.lock("./inv up", 1, print):
        monkeypatch.setenv(LOCK_HELD, str(state.directory))
        with state.lock("the playbook", 0, print) as descriptor:
            assert descriptor is None
