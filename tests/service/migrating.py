"""What tests of migrations share: files, a second connection, processes that migrate, and a pooler."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.database import connect
from service.migration import migrate
from service.migration.files import MigrationError
from service.settings import Settings
from tests.checkout import ROOT, clean_environment

WAIT_FOR_GATE = "DO $$ BEGIN WHILE EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$"
"""A statement that lasts for as long as the test leaves a row in its table."""
STARTER = """
import sys
from pathlib import Path
from service.migration.command import command
from service.settings import Settings
settings = Settings.from_environment(cache=False)
sys.exit(command(settings, status=False, plan=False, as_json=True, folder=Path(sys.argv[1])))
"""


def write(folder: Path, **files: str) -> list[migrate.Migration]:
    """Write files, whose names here begin with an m, and return all migrations of the folder."""
    for name, sql in files.items():
        (folder / f"{name.removeprefix('m')}.sql").write_text(sql)
    return migrate.read(folder)


@contextmanager
def connected(settings: Settings) -> Iterator[Any]:
    """Give a connection of the test's own."""
    connection = connect(settings.database, 10)
    try:
        yield connection
    finally:
        connection.close()


def query(settings: Settings, sql: str) -> list[list[Any]]:
    """Run one statement on a connection of its own."""
    with connected(settings) as connection:
        return list(connection.run(sql) or [])


def active(settings: Settings, words: str) -> list[int]:
    """Return the backends of the test's database that run a statement with these words, but for our own."""
    sql = f"""SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
        AND pid <> pg_backend_pid() AND query LIKE '%{words}%'"""
    return [row[0] for row in query(settings, sql)]


def asking(settings: Settings) -> bool:
    """Whether somebody asks for the lock that another one has."""
    sql = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND query LIKE 'SELECT pg_try_advisory_lock(%'"""
    return bool(query(settings, sql)[0][0])


def in_another_database(settings: Settings, sql: str) -> None:
    """Run one statement of the cluster, for instance ALTER DATABASE, where no test is."""
    query(replace(settings, database=replace(settings.database, name="postgres")), sql)


def refused(code: str, *words: str) -> pytest.RaisesExc[MigrationError]:
    """Expect a refusal with this code and these words."""
    return pytest.RaisesExc(
        MigrationError, check=lambda error: error.code == code and all(word in str(error) for word in words)
    )


def start(settings: Settings, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a process that applies the files of a folder."""
    at = settings.database
    return subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder)],
        cwd=ROOT,
        env=clean_environment(
            DATABASE_URL=f"postgresql://{at.user}@{at.host}:{at.port}/{at.name}",
            **environment,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a process, and return its exit code and what it said."""
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


def in_background(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Start a call in a thread; the list gets what it returned or raised."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def states(settings: Settings, files: list[migrate.Migration]) -> list[str]:
    """Return the states of all migrations in their order."""
    return [each.state for each in migrate.status(settings, files)]


@contextmanager
def pooler(settings: Settings, backends: int, *, shared: bool = False) -> Iterator[Settings]:
    """Give the settings of a pooler.

    Args:
        settings: of the database behind it.
        backends: how many a client's messages go to, in turn.
        shared: whether all clients, which must not ask at the same time, have the same ones.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_accept, args=(listening, settings, backends, shared), daemon=True).start()
        yield replace(settings, database=replace(settings.database, port=listening.getsockname()[1]))
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, settings: Settings, backends: int, shared: bool) -> None:
    servers: list[socket.socket] = []
    answer = b""
    while True:
        try:
            client = listening.accept()[0]
        except OSError:
            break
        greeting = _exactly(client, 4)
        greeting += _exactly(client, struct.unpack("!i", greeting)[0] - 4)
        if not (shared and servers):
            servers = [
                socket.create_connection((settings.database.host, settings.database.port)) for _ in range(backends)
            ]
            answer, *_ = [_asked(server, greeting) for server in servers]
        client.sendall(_of_the_pooler(answer))
        threading.Thread(target=_relay, args=(client, servers, not shared), daemon=True).start()
    for server in servers:
        server.close()


def _relay(client: socket.socket, servers: list[socket.socket], close: bool) -> None:
    """Give each message of the client, up to the end of its answer, to the next backend."""
    turn = 0
    while (header := _exactly(client, 5)) and header[:1] != b"X":
        message = header + _exactly(client, struct.unpack("!i", header[1:])[0] - 4)
        server = servers[turn % len(servers)]
        if header[:1] in b"QS":
            client.sendall(_asked(server, message))
            turn += 1
        else:
            server.sendall(message)
    for each in [*(servers if close else []), client]:
        each.close()


def _asked(server: socket.socket, message: bytes) -> bytes:
    """Send a message, and return the answer up to where the server is ready for the next."""
    server.sendall(message)
    found = b""
    while True:
        header = _exactly(server, 5)
        found += header + _exactly(server, struct.unpack("!i", header[1:])[0] - 4)
        if header[:1] == b"Z":
            return found


def _of_the_pooler(answer: bytes) -> bytes:
    """Put a key of the pooler's own into a greeting, as PgBouncer does."""
    at = answer.index(b"K\x00\x00\x00\x0c")
    return answer[: at + 5] + struct.pack("!ii", 123_456_789, 1) + answer[at + 13 :]


def _exactly(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = sock.recv(size - len(found))
        if not piece:
            return b""
        found += piece
    return found
