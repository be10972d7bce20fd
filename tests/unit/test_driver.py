"""Who has PostgreSQL's place for a moment asks for the password, and learns nothing of it."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.local.engines import login
from stackhand.local.engines.embedded.servers import server_for
from stackhand.local.engines.embedded.servers.postgres import Postgres
from stackhand.project.stack import loading
from stackhand.project.state import State
from tests.impostor import CLEAR, MD5, SASL, impostor

PASSWORD = "the-very-secret"
COMPOSE = """\
services:
  db:
    image: postgres:16
    environment: {{POSTGRES_PASSWORD: {password}}}
    ports: ["127.0.0.1:{port}:5432"]
    x-embedded: {{engine: postgres}}
"""


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
def server(folder: Path, listener: socket.socket) -> Postgres:
    """PostgreSQL as the settings describe it, where somebody else listens."""
    port = listener.getsockname()[1]
    (folder / "docker-compose.yml").write_text(COMPOSE.format(password=PASSWORD, port=port))
    stack = loading.load(folder, {})
    state = State(folder)
    state.make()
    found = server_for(stack.services["db"], stack, state)
    assert isinstance(found, Postgres)
    return found


@pytest.fixture
def at_the_socket(server: Postgres) -> socket.socket:
    server.sockets.mkdir(parents=True)
    found = socket.socket(socket.AF_UNIX)
    found.bind(str(server.sockets / f".s.PGSQL.{server.port}"))
    found.listen()
    return found


def libpq(server: Postgres, as_whom: login.Login | None, home: Path) -> str:
    """Run psql with a password at home that it may tell nobody; return what it complained of."""
    pgpass = home / ".pgpass"
    pgpass.write_text(f"*:*:*:*:{PASSWORD}\n")
    pgpass.chmod(0o600)
    done = subprocess.run(
        [server.tool("psql"), "-Xc", "SELECT 1", "postgres"],
        env={"HOME": str(home), "PGCONNECT_TIMEOUT": "5", **server.connection(as_whom)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    return done.stderr


@pytest.mark.parametrize(("asks", "how"), [(CLEAR, "in clear"), (MD5, "as MD5")], ids=["clear", "md5"])
def test_a_false_server_at_the_port_is_told_no_password(
    server: Postgres, listener: socket.socket, folder: Path, asks: bytes, how: str
) -> None:
    with impostor(listener, asks) as heard:
        wrong = f"The server at 127.0.0.1:{server.port} asks for the password {how}: it is not this stack's Postgre"
        with pytest.raises(Failure, match=wrong):
            server.reconcile()
        assert "requirement" in libpq(server, None, folder)
    assert heard == [b"", b""]


@pytest.mark.parametrize("asks", [CLEAR, MD5, SASL], ids=["clear", "md5", "scram"])
def test_a_false_server_at_the_socket_is_told_no_password(
    server: Postgres, listener: socket.socket, at_the_socket: socket.socket, folder: Path, asks: bytes
) -> None:
    with listener, impostor(at_the_socket, asks) as heard:
        with pytest.raises(Failure, match="asks for a password although the system identifies us: it is not"):
            server.local()
        said = libpq(server, login.SUPERUSER, folder)
        assert "requirement" in said
        assert "WARNING" not in said
    assert heard == [b"", b""]


def test_a_false_server_that_plays_along_is_found_out(server: Postgres, listener: socket.socket, folder: Path) -> None:
    with impostor(listener, SASL) as heard:
        with pytest.raises(Failure, match="does not know the password: it is not this stack's PostgreSQL"):
            server.reconcile()
        assert "SCRAM" in libpq(server, None, folder)
    assert len(heard) == 2
    assert PASSWORD.encode() not in b"".join(heard)


def test_a_server_that_does_not_answer_to_the_end_is_no_mistake_of_ours(
    server: Postgres, listener: socket.socket
) -> None:
    listener.close()
    with pytest.raises(ConnectionError):
        server.reconcile()
