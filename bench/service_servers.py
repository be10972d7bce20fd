"""A real PostgreSQL and a real Redis-protocol server, which can be stopped, started and frozen."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pg8000.native
import psutil

from stackhand.local.engines.embedded import accounts
from stackhand.local.engines.embedded.servers import postgres, redis

TIMEOUT = 60.0
DATABASE = "bench"


class Server:
    """A server process.

    Args:
        argv: its command line.
        account: who runs it; None is ourselves.
        answers: whether it serves now.
    """

    def __init__(self, argv: list[str], account: accounts.Account | None, answers: Callable[[], bool]) -> None:
        self._argv = [*account.prefix, *argv] if account else argv
        self._account = account if account and not account.prefix else None
        self.answers = answers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return at the moment it serves."""
        quiet = subprocess.DEVNULL
        who = self._account
        self._process = subprocess.Popen(
            self._argv,
            stdout=quiet,
            stderr=quiet,
            cwd="/",
            user=who.uid if who else None,
            group=who.gid if who else None,
            extra_groups=[] if who else None,
        )
        wait_until(self.answers, f"{self._argv[0]} serves", pause=0.01)

    def stop(self) -> None:
        """End it; its clients see their connections closed."""
        if self._process:
            self.thaw()  # a frozen process would not hear of it
            self._process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown, and an end for valkey
            self._process.wait(timeout=TIMEOUT)
            self._process = None

    def kill(self) -> None:
        """End it and its children as the kernel does that lacks memory: nobody says good-bye, nothing is tidied."""
        tree = [self._parent(), *self._parent().children(recursive=True)]
        for each in tree:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(tree[1:], TIMEOUT)
        assert self._process is not None
        self._process.wait(timeout=TIMEOUT)
        self._process = None

    def freeze(self) -> None:
        """Have it answer nothing, though the kernel still accepts connections for it."""
        parent = self._parent()
        parent.suspend()  # first, so that it starts no more children
        while moving := [each for each in parent.children(recursive=True) if _moves(each)]:
            for each in moving:
                with suppress(psutil.NoSuchProcess):
                    each.suspend()

    def thaw(self) -> None:
        """Let it go on."""
        parent = self._parent()
        for each in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                each.resume()

    def _parent(self) -> psutil.Process:
        assert self._process is not None, "it does not run"
        return psutil.Process(self._process.pid)


@dataclass(frozen=True)
class Servers:
    """Both servers, and what a candidate reads to find them."""

    postgres: Server
    cache: Server
    environment: Mapping[str, str]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Both are black holes meanwhile: they accept connections and say nothing."""
        try:
            self.postgres.freeze()
            self.cache.freeze()
            yield
        finally:
            self.cache.thaw()
            self.postgres.thaw()


@contextmanager
def servers(postgres_port: int, cache_port: int) -> Iterator[Servers]:
    """Both servers run meanwhile, on 127.0.0.1 and in a folder of their own."""
    place = Path(tempfile.mkdtemp(prefix="sh-bench-"))
    place.chmod(0o755)
    with ExitStack() as afterwards:
        afterwards.callback(shutil.rmtree, place, ignore_errors=True)
        found = _servers(place, postgres_port, cache_port)
        for server in (found.cache, found.postgres):
            afterwards.callback(server.stop)
            server.start()
        _ask(postgres_port, "postgres", f"CREATE DATABASE {DATABASE}")
        yield found


def _servers(place: Path, postgres_port: int, cache_port: int) -> Servers:
    program, data = postgres.binary(), place / "pg"
    account = accounts.choose(data, (place, program))
    if account:
        shutil.chown(place, account.uid, account.gid)
    initdb = [str(program.with_name("initdb")), "-D", str(data), "-U", "service", "-A", "trust", "--no-sync"]
    said = accounts.run(account, initdb)
    if said.returncode != 0:
        raise OSError(said.stdout)
    database = [str(program), "-D", str(data), "-p", str(postgres_port), "-k", str(place)]
    cache = [str(redis.binary()), "--port", str(cache_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(place)]
    return Servers(
        Server(database, account, lambda: _ask(postgres_port, "postgres", "SELECT 1")),
        Server(cache, account, lambda: _pings(cache_port)),
        {
            "DATABASE_URL": f"postgresql://service@127.0.0.1:{postgres_port}/{DATABASE}",
            "REDIS_URL": f"redis://127.0.0.1:{cache_port}/0",
        },
    )


def wait_until(condition: Callable[[], bool], what: str, seconds: float = TIMEOUT, pause: float = 0.05) -> float:
    """Return after how many seconds a condition held.

    Raises:
        TimeoutError: not within `seconds`.
    """
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > seconds:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
    return time.perf_counter() - began


def _moves(process: psutil.Process) -> bool:
    try:
        return process.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False


def _ask(port: int, database: str, sql: str) -> bool:
    try:
        connection = pg8000.native.Connection("service", host="127.0.0.1", port=port, database=database, timeout=2)
    except (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError):
        return False
    with suppress(OSError):
        connection.run(sql)
        connection.close()
    return True


def _pings(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as client:
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def clean_environment() -> dict[str, str]:
    """Return the variables that candidates get of ours."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
