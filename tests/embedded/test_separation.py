"""As root: each service has an account of its own, and what one of them does to its files is done to no other file."""

from __future__ import annotations

import getpass
import multiprocessing
import os
import pwd
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pg8000.native
import pytest
import redis

from stackhand.local.engines.embedded.accounts import NUMBERS
from tests import accounts
from tests.checkout import Checkout

SERVICES = ("postgres", "redis", "api", "web")
FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def root() -> None:
    accounts.require_root()


@pytest.fixture
def target(folder: Path) -> Path:
    """A file of root's that no service may touch, where every account may pass."""
    path = folder / "shadow"
    path.write_text("root's own\n")
    path.chmod(0o640)
    return path


def status_of(checkout: Checkout, service: str) -> dict[str, list[str]]:
    lines = Path(f"/proc/{checkout.pid(service)}/status").read_text().splitlines()
    return {key: value.split() for key, _, value in (line.partition(":") for line in lines)}


def uid(checkout: Checkout, service: str) -> int:
    return int(status_of(checkout, service)["Uid"][1])


def as_account(number: int, look: Callable[[], Any]) -> Any:
    """Return what a function returns, or the name of what it raises, in a process of that account."""
    receiving, sending = FORK.Pipe(duplex=False)

    def child() -> None:
        os.setgroups([])
        os.setgid(number)
        os.setuid(number)
        try:
            sending.send(look())
        except Exception as error:
            sending.send(f"{type(error).__name__}: {error}")

    process = FORK.Process(target=child)
    process.start()
    process.join(30)
    assert receiving.poll(), f"ended with {process.exitcode}"
    return receiving.recv()


def known(path: Path) -> tuple[int, int, int, str]:
    found = path.stat()
    return found.st_uid, found.st_gid, found.st_mode, path.read_text()


def test_the_services_run_as_four_accounts_and_none_of_them_is_root(stack: Checkout) -> None:
    found = {name: status_of(stack, name) for name in SERVICES}
    assert len({each["Uid"][1] for each in found.values()} | {"0"}) == len(SERVICES) + 1
    assert {int(each["Uid"][1]) in NUMBERS for name, each in found.items() if name != "postgres"} == {True}
    assert pwd.getpwuid(uid(stack, "postgres")).pw_name in {"postgres", "nobody"}
    for each in found.values():
        assert len(set(each["Uid"])) == len(set(each["Gid"])) == 1
        assert each["Groups"] == []
        assert {int(each[name][0], 16) for name in ("CapEff", "CapPrm", "CapAmb")} == {0}


def test_one_service_cannot_read_what_is_anothers(stack: Checkout) -> None:
    places = [
        *("data/postgres", "data/postgres/PG_VERSION", "data/web", "data/api"),
        *("config/postgres/pg_hba.conf", "config/web/nginx.conf", "config", "logs/api.log", "services/api.json"),
    ]

    def look() -> list[str]:
        return [each for each in places if os.access(stack.state / each, os.R_OK)]

    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(stack.state / "run" / "postgres" / f".s.PGSQL.{stack.ports['POSTGRES_PORT']}"))

    def change() -> list[str]:
        config = stack.state / "config" / "redis"
        assert "requirepass" in (config / "redis.conf").read_text()
        return [str(each) for each in (config, config / "redis.conf", stack.path) if os.access(each, os.W_OK)]

    number = uid(stack, "redis")
    assert as_account(number, look) == []
    assert as_account(number, lambda: os.access(stack.path / ".env", os.R_OK)) is False
    assert as_account(number, connect).startswith("PermissionError")
    assert as_account(number, change) == []


def superuser(checkout: Checkout) -> pg8000.native.Connection:
    return pg8000.native.Connection(
        "postgres", unix_sock=str(checkout.state / "run" / "postgres" / f".s.PGSQL.{checkout.ports['POSTGRES_PORT']}")
    )


def test_over_the_socket_only_root_and_the_servers_account_are_the_superuser(stack: Checkout) -> None:
    sockets = stack.state / "run" / "postgres"
    path = sockets / f".s.PGSQL.{stack.ports['POSTGRES_PORT']}"

    def ask() -> Any:
        connection = pg8000.native.Connection("postgres", unix_sock=str(path))
        return connection.run("SELECT current_user")

    assert ask() == [["postgres"]]
    assert as_account(uid(stack, "postgres"), ask) == [["postgres"]]
    modes = {each: each.stat().st_mode for each in (sockets, path)}
    try:  # were the folder open, the server would ask the system all the same
        sockets.chmod(0o711)
        path.chmod(0o777)
        assert isinstance(as_account(uid(stack, "redis"), ask), str)
        assert f"local user ID {uid(stack, 'redis')}" in stack.inv("logs", "postgres").out
    finally:
        for each, mode in modes.items():
            each.chmod(mode)
    with pytest.raises(pg8000.Error):
        pg8000.native.Connection("stackhand", unix_sock=str(path))
    assert 'Peer authentication failed for user "stackhand"' in stack.inv("logs", "postgres").out


def test_a_command_has_a_home_and_a_name_without_an_account(stack: Checkout) -> None:
    process = Path(f"/proc/{stack.pid('api')}")
    found = dict(each.split("=", 1) for each in (process / "environ").read_text().split("\0") if each)

    def look() -> tuple[str, str, str, bool]:
        os.environ.clear()
        os.environ.update(found)
        tempfile.tempdir = None
        (Path.home() / "kept").write_text("x")
        (Path.home() / "kept").unlink()
        return getpass.getuser(), os.path.expanduser("~"), tempfile.gettempdir(), (stack.path / "service").is_dir()  # noqa: PTH111 - what is asked

    said = stack.inv(
        "shell", "api", stdin="echo $HOME of $PORT"
    ).out  # a person's, who must run nothing of the service's
    assert said == f"{Path.home()} of {stack.ports['API_PORT']}\n"
    assert as_account(uid(stack, "api"), look) == ("api", str(stack.state / "data" / "api"), "/tmp", True)


PLANTED = {
    "redis": ("redis.conf", "appendonlydir/users.acl"),
    "web": ("nginx.conf", "body/link"),
    "postgres": ("pg_hba.conf", "pg_ident.conf"),
}
"""What a service's folder had of root's, and other places for a link, by service."""


def plant(checkout: Checkout, target: Path) -> str:
    """Return a shell's command that puts links to a file in the place of everything below the data folders."""
    links = [checkout.state / "data" / service / name for service, names in PLANTED.items() for name in names]
    links += [checkout.state / "config" / name for name in ("redis/redis.conf", "postgres/pg_hba.conf")]
    return "; ".join([*(f"ln -sfn {shlex.quote(str(target))} {shlex.quote(str(each))}" for each in links), "true"])


@pytest.fixture
def attacked(running: Checkout) -> Iterator[Checkout]:
    yield running
    for service, names in PLANTED.items():
        for name in names:
            path = running.state / "data" / service / name
            if path.is_symlink():
                path.unlink()
    running.inv("up")


def test_a_link_that_the_databases_superuser_plants_leads_root_nowhere(attacked: Checkout, target: Path) -> None:
    before = known(target)
    client = redis.Redis(port=attacked.ports["REDIS_PORT"], password=attacked.setting("REDIS_PASSWORD"))
    client.set("kept", "yes")
    superuser(attacked).run(f"COPY (SELECT 1) TO PROGRAM $$ {plant(attacked, target)} $$")
    assert (attacked.state / "data" / "postgres" / "pg_hba.conf").is_symlink()
    attacked.inv("restart", "redis")
    assert known(target) == before

    # As it was when all servers had one account: the folders are its own, and it can plant links in each.
    attacked.inv("down")
    owner = pwd.getpwuid((attacked.state / "data" / "postgres").stat().st_uid)
    folders = [str(attacked.state / "data" / name) for name in ("redis", "web")]
    subprocess.run(["chown", "-R", f"{owner.pw_uid}:{owner.pw_gid}", *folders], check=True)
    subprocess.run(["sh", "-c", plant(attacked, target)], user=owner.pw_uid, group=owner.pw_gid, check=True, stderr=-3)
    assert (attacked.state / "data" / "redis" / "redis.conf").is_symlink()
    attacked.inv("up")
    assert known(target) == before
    assert client.get("kept") == b"yes"
    for name in ("redis", "web"):
        assert (attacked.state / "data" / name).stat().st_uid == uid(attacked, name) in NUMBERS
