"""Bad days of the embedded engine: disks, data folders, supervisors and accounts."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from stackhand.local.engines.health import PROTOCOL_3
from tests.checkout import Checkout, eventually

pytestmark = pytest.mark.slow
SERVICES = ("postgres", "redis", "api", "web")


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[None]:
    """Mount a tmpfs at a folder; only root may."""
    if os.getuid() != 0:
        pytest.skip("mounting a small disk takes root")
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_too_small_is_refused_before_any_work(checkout: Checkout) -> None:
    with small_disk(checkout.state / "data", "size=50m"):
        said = checkout.inv("up", check=False)
    assert said.code == 3
    assert "MB free, and the stack needs 200 MB" in said.err


def test_a_disk_that_fills_while_the_database_is_made_is_told(checkout: Checkout) -> None:
    with small_disk(checkout.state / "data", "size=500m,nr_inodes=300"):
        said = checkout.inv("up", check=False)
        assert not (checkout.state / "data" / "postgres").exists()
    assert said.code == 4
    assert "PostgreSQL could not create its data folder" in said.err
    assert "No space left on device" in said.err


def test_a_disk_that_fills_later_is_told_with_what_to_do(checkout: Checkout) -> None:
    data = checkout.state / "data"
    with small_disk(data, "size=400m"):
        checkout.inv("up")
        fill = data / "fill"
        subprocess.run(["fallocate", "-l", str(os.statvfs(data).f_bavail * 4096), str(fill)], check=False)
        said = checkout.inv("restart", "postgres", check=False)
        assert said.code == 4
        assert "No space left on device" in said.err
        assert "next: free space on the disk of" in said.err
        fill.unlink()
        checkout.inv("up")
        assert checkout.ask("/health/ready")[0] == 200
        checkout.inv("down")


def test_a_database_without_a_free_connection_is_not_told_to_be_down(running: Checkout) -> None:
    names = b"user\0stackhand\0database\0stackhand\0\0"
    begin = struct.pack("!ii", 8 + len(names), PROTOCOL_3) + names  # a login that is begun holds a connection, too
    opened: list[socket.socket] = []
    try:
        answer = b"R"
        while answer[:1] == b"R":
            opened.append(socket.create_connection(("127.0.0.1", running.ports["POSTGRES_PORT"])))
            opened[-1].sendall(begin)
            answer = opened[-1].recv(1024)
        assert b"too many clients" in answer
        for verb in ("db.status", "db.plan", "db.migrate"):
            said = running.inv(verb, check=False)
            assert (said.code, said.out) == (4, "")
            assert "postgres is running but unhealthy: sorry, too many clients already." in said.err
            assert f"(pid {os.getpid()}) holds " in said.err
        running.inv("restart", "postgres")
        assert running.inv("db.status").code == 0
    finally:
        for each in opened:
            each.close()


def test_killed_supervisor_is_told_by_doctor_and_fixed_by_up(running: Checkout) -> None:
    running.kill("supervisord")
    before = {name: running.pid(name) for name in SERVICES}
    assert "unsupervised: api, postgres, redis, web" in running.inv("doctor").out
    running.inv("up")
    assert {name for name in SERVICES if psutil.pid_exists(before[name]) and _runs(before[name])} == set()
    assert running.ask("/health")[0] == 200


def test_down_ends_what_a_killed_supervisor_left(running: Checkout) -> None:
    running.kill("supervisord")
    running.kill("web")  # whose worker is then nobody's child
    assert "stopped: api, postgres, redis" in running.inv("down").out


def test_a_damaged_data_folder_is_told_and_not_touched(stopped: Checkout) -> None:
    control = stopped.state / "data" / "postgres" / "global" / "pg_control"
    whole = control.read_bytes()
    control.write_bytes(whole[:100])
    said = stopped.inv("up", check=False)
    assert said.code == 4
    assert "postgres stopped while it started" in said.err
    assert "pg_control" in said.err
    assert f"next: mv {stopped.state}/data/postgres {stopped.state}/data/postgres.damaged" in said.err
    assert stopped.services()["postgres"]["state"] == "failed"
    assert control.read_bytes() == whole[:100]
    control.write_bytes(whole)


def test_a_data_folder_of_another_version_is_told_and_not_touched(stopped: Checkout) -> None:
    version = stopped.state / "data" / "postgres" / "PG_VERSION"
    version.write_text("15\n")
    said = stopped.inv("up", check=False)
    assert version.read_text() == "15\n"
    version.write_text("16\n")
    assert said.code == 4
    assert "a data folder of PostgreSQL 15, but this engine runs PostgreSQL 16" in said.err


def test_an_error_in_the_template_is_told_with_its_line(stopped: Checkout) -> None:
    template = "web/nginx.conf.template"
    whole = (stopped.path / template).read_text()
    (stopped.path / template).write_text(f"nonsense here;\n{whole}")
    said = stopped.inv("up", check=False)
    (stopped.path / template).write_text(whole)
    assert said.code == 4
    assert f"next: fix {template}, line 1, then ./inv up" in said.err


def test_a_damaged_append_only_file_is_told_and_both_ways_out_work(running: Checkout) -> None:
    data = running.state / "data" / "redis"
    running.inv("cache.shell", stdin="SET kept seven")
    running.inv("down")
    file = next((data / "appendonlydir").glob("*.incr.aof"))
    with file.open("ab") as aof:
        aof.write(b"torn\r\n")
    damaged = file.read_bytes()
    said = running.inv("up", check=False)
    assert said.code == 4
    assert "redis stopped while it started" in said.err
    assert f"next: mv {data} {data}.damaged, then ./inv up" in said.err
    assert file.read_bytes() == damaged
    assert f"{file} is damaged" in said.err
    subprocess.run(_repair_command(said.err), input="y\n", text=True, check=True, capture_output=True)
    running.inv("up")
    assert "seven" in running.inv("cache.shell", stdin="GET kept").out


def _repair_command(said: str) -> list[str]:
    """Return the words of the command that the failure names."""
    line = next(line for line in said.splitlines() if "is damaged; to keep" in line)
    return shlex.split(line.partition("then: ")[2])


def test_stopped_supervisor_does_not_stop_the_verbs(running: Checkout) -> None:
    running.kill("supervisord", signal.SIGSTOP)
    said = running.inv("status")
    assert said.code == 0
    assert "supervisord does not answer" in said.out
    assert "stopped: api, postgres, redis, web" in running.inv("down").out


def test_a_number_that_was_reused_is_never_killed(running: Checkout) -> None:
    """The record of a dead service names a process of somebody else, of the same number."""
    import json

    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        path = running.state / "run" / "api.json"
        record = json.loads(path.read_text())
        running.kill("supervisord")
        os.kill(record["pid"], signal.SIGKILL)
        path.write_text(json.dumps({**record, "pid": bystander.pid}))
        running.inv("down")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_moved_ports_are_kept_when_the_settings_are_deleted(checkout: Checkout) -> None:
    from stackhand.project import settings
    from stackhand.project.memory import Memory
    from stackhand.project.state import State

    State(checkout.path).make()
    State(checkout.path).write(Memory(ports={"WEB_PORT": 3450}))
    (checkout.path / ".env").unlink()
    assert settings.ensure(checkout.path).values["WEB_PORT"] == "3450"


def test_up_interrupted_in_initdb_leaves_no_half_and_killed_later_is_finished(
    checkout: Checkout,
) -> None:
    child = checkout.start("up")
    eventually((checkout.state / "data" / "postgres.new").exists, "initdb is at work")
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert child.returncode == 130
    assert not (checkout.state / "data" / "postgres").exists()

    child = checkout.start("up")
    eventually((checkout.state / "data" / "postgres").exists, "the playbook is past initdb")
    child.kill()
    child.communicate()
    assert "is already up" in checkout.inv("up").out  # which waited for it
    assert len(_supervisors(checkout)) == 1
    assert checkout.ask("/health")[0] == 200


def test_up_that_would_wait_too_long_says_who_is_at_work(checkout: Checkout) -> None:
    from stackhand.project.state import State

    with State(checkout.path).lock("./inv restart", 1.0, print):
        said = checkout.inv("up", "--timeout", "0.5", check=False)
    assert said.code == 1
    assert f"waiting for ./inv restart (pid {os.getpid()}, since " in said.err
    assert "is still working in this checkout after 0.5 s." in said.err
    assert "next: wait for it or stop it, then repeat the command" in said.err


def test_as_root_in_a_folder_closed_to_others_no_service_has_a_right_of_roots(checkout: Checkout) -> None:
    if os.getuid() != 0:
        pytest.skip("only root hands its services to other accounts")
    checkout.path.parent.chmod(0o700)
    said = checkout.inv("up")
    assert "with permission to traverse" not in said.out + checkout.inv("doctor").out
    assert checkout.ask("/", "WEB_PORT")[0] == 200
    users = set()
    for name in SERVICES:
        status = Path(f"/proc/{checkout.pid(name)}/status").read_text(encoding="utf-8")
        assert "CapEff:\t0000000000000000" in status, name
        users.add(psutil.Process(checkout.pid(name)).uids().effective)
    assert len(users - {0}) == len(SERVICES)
    assert not os.access(f"/proc/{checkout.pid('redis')}/root{checkout.path}/web", os.F_OK)


def _supervisors(checkout: Checkout) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(word.endswith("/supervisord.py") for word in words) and any(
            str(checkout.path) in word for word in words
        ):
            found.append(process)
    return found


def _runs(pid: int) -> bool:
    time.sleep(0)
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
