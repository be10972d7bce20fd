"""Who holds a port, and where a block of them is free."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stackhand.system import ports


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(listener: int) -> None:
    assert not ports.is_free(listener)


def test_a_port_that_somebody_holds_on_all_addresses_is_not_free() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        assert not ports.is_free(server.getsockname()[1])


def test_a_port_without_a_listener_is_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    assert ports.is_free(port)


LISTENER = (
    "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); s.accept()"
)


def test_the_holder_is_told_by_number_command_owner_and_folder(tmp_path: Path) -> None:
    words = [sys.executable, "-c", LISTENER]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = ports.holder(int(process.stdout.readline()))
        finally:
            process.kill()
    assert found.pid == process.pid
    assert found.command == f"{' '.join(words)[:57]}..."
    assert found.owner == pwd.getpwuid(os.getuid()).pw_name
    assert found.folder == str(tmp_path)
    assert str(found) == f"pid {process.pid} ({found.command}) of {found.owner} in {tmp_path}"


def test_the_kernel_tells_the_account_of_a_listener(listener: int) -> None:
    assert ports._owner_by_kernel(listener) == pwd.getpwuid(os.getuid()).pw_name


def test_a_free_block_moves_all_ports_by_one_step(listener: int) -> None:
    wished = {"A": listener, "B": listener + 1}
    found = ports.free_block(wished)
    assert found["B"] - found["A"] == 1
    assert (found["A"] - listener) % ports.STEP == 0
    assert found["A"] != listener


def test_a_free_block_leaves_out_ports_that_others_will_need() -> None:
    assert ports.free_block({"A": 20_000}, used={20_000, 20_010})["A"] == 20_020


def test_ports_at_the_end_of_the_range_get_any_free_ones() -> None:
    with socket.socket() as server:
        try:
            server.bind(("127.0.0.1", 65_535))
        except OSError:
            pytest.skip("port 65535 is taken by somebody else")
        server.listen()
        assert 0 < ports.free_block({"A": 65_535})["A"] < 65_535
