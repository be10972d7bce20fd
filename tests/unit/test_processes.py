"""A process is told from a later one of the same number."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stackhand.local.engines.embedded import launch, processes
from stackhand.local.engines.embedded.launch import birth
from tests import accounts
from tests.checkout import ROOT, eventually


def test_a_process_has_one_birth_and_another_process_another() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        assert birth(child.pid) == birth(child.pid) != birth(os.getpid())
        child.kill()


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="there is no ps")
def test_a_start_told_by_ps_is_the_same_in_every_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for zone in ("Asia/Tokyo", "America/Lima", "UTC"):
        monkeypatch.setenv("TZ", zone)
        found.add(launch.started(os.getpid()))
    assert len(found) == 1
    assert None not in found


def test_a_dead_process_and_a_zombie_have_none() -> None:
    child = subprocess.Popen(["true"])
    eventually(lambda: birth(child.pid) is None, "the child is a zombie")
    child.wait()
    assert birth(child.pid) is None


def test_a_name_with_blanks_and_brackets_does_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / "a) R (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([str(odd), "30"]) as child:
        assert birth(child.pid) is not None
        child.kill()


def test_a_record_of_a_reused_number_is_not_alive(tmp_path: Path) -> None:
    record = {"pid": os.getpid(), "birth": "another boot:1", "fingerprint": "", "earlier": []}
    (tmp_path / "api.json").write_text(json.dumps(record))
    found = processes.read(tmp_path, "api")
    assert found is not None
    assert not found.alive
    assert processes.living({"api": found}) == []


def test_a_record_in_a_copied_checkout_is_not_its_own_and_in_a_moved_one_it_is(tmp_path: Path) -> None:
    first = tmp_path / "shop" / "run"
    first.mkdir(parents=True)
    with subprocess.Popen(["sleep", "30"]) as child:
        record = {"pid": child.pid, "birth": birth(child.pid), "fingerprint": "", "earlier": []}
        (first / "api.json").write_text(json.dumps({**record, "record": str(first / "api.json")}))
        shutil.copytree(first, tmp_path / "copy")
        assert processes.records(tmp_path / "copy") == {}
        (tmp_path / "link").symlink_to(first.parent)
        assert processes.records(tmp_path / "link" / "run")["api"].alive
        first.rename(tmp_path / "moved")
        assert processes.records(tmp_path / "moved")["api"].alive
        child.kill()


def test_damaged_records_are_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "api.json").write_text("{")
    (tmp_path / "web.json").write_text('{"pid": 1}')
    assert processes.records(tmp_path) == {}


def test_a_process_that_ignores_the_polite_signal_is_killed() -> None:
    import psutil

    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    child = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    processes.end([psutil.Process(child.pid)], timeout=0.3)
    assert child.wait(timeout=5) == -signal.SIGKILL
    child.stdout.close()


def test_a_stopped_process_is_ended_politely() -> None:
    import psutil

    child = subprocess.Popen(["sleep", "30"])
    child.send_signal(signal.SIGSTOP)
    processes.end([psutil.Process(child.pid)], timeout=5)
    assert child.wait(timeout=5) == -signal.SIGTERM


LISTEN = """
import os, socket, time
os.setuid(42427)
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
time.sleep(60)
"""
PORTS = """
import sys
from stackhand.local.engines.embedded import processes
print(processes.listening({int(sys.argv[1])}))
"""
CONTAINER = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]


def test_root_in_a_container_sees_where_a_service_of_another_account_listens() -> None:
    accounts.require_root()
    with subprocess.Popen([sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        seen = subprocess.check_output([*CONTAINER, sys.executable, "-c", PORTS, str(child.pid)], cwd=ROOT, text=True)
        child.kill()
    assert seen == f"{{{child.pid}: {{{port}}}}}\n"
