"""What every package asks of this machine: run a program, wait, ask by HTTP."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead

import pytest

from stackhand.system import http as client
from stackhand.system import program, waiting


def test_a_program_returns_its_code_and_whatever_bytes_it_prints_as_text() -> None:
    script = "import sys; sys.stdout.buffer.write(b'\\xff' + sys.stdin.buffer.read()); sys.exit('no')"
    done = program.run([sys.executable, "-c", script], text="hello")
    assert (done.returncode, done.stdout, done.stderr) == (1, "\N{REPLACEMENT CHARACTER}hello", "no\n")
    assert "no\n" in program.run([sys.executable, "-c", script], merge=True).stdout


def test_a_program_reads_nothing_of_our_stdin_and_is_killed_after_its_timeout() -> None:
    assert program.run([sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"]).stdout == "''\n"
    with pytest.raises(subprocess.TimeoutExpired):
        program.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2)


def test_polls_come_at_once_and_once_more_after_the_timeout() -> None:
    began = time.monotonic()
    times = [time.monotonic() - began for _ in waiting.polls(0.1, 0.04)]
    assert times[0] < 0.04
    assert times[-1] >= 0.1
    assert len(list(waiting.polls(0, 10))) == 1


def test_until_ends_with_the_condition_or_without_it() -> None:
    seen: list[int] = []

    def third() -> bool:
        seen.append(1)
        return len(seen) == 3

    assert waiting.until(third, 10, 0.01)
    assert not waiting.until(lambda: False, 0.03, 0.01)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/document?a=1")
            self.end_headers()
            return
        body = b'{"path": "%s"}' % self.path.encode()
        self.send_response(200 if self.path.startswith("/document") else 503, "Odd")
        self.send_header("Content-Length", str(len(body) + (5 if self.path == "/short" else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_response_has_status_headers_and_document(url: str) -> None:
    response = client.get(f"{url}/document?a=1", timeout=5)
    assert response.ok
    assert response.json() == {"path": "/document?a=1"}
    assert (response.status, response.reason, response.headers["content-length"]) == (200, "Odd", "25")
    assert not client.get(url, timeout=5).ok
    assert client.get(f"{url}/document", timeout=5, limit=4).body == b'{"pa'


def test_a_redirect_is_not_followed(url: str) -> None:
    moved = client.get(f"{url}/moved", timeout=5)
    assert (moved.status, moved.ok) == (302, False)


def test_a_body_that_ends_early_is_no_response(url: str) -> None:
    with pytest.raises(IncompleteRead):
        client.get(f"{url}/short", timeout=5)


def test_what_is_no_http_or_does_not_answer_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(TimeoutError):
            client.get(url, timeout=0.2)

        def babble() -> None:
            for _ in range(2):  # the first is the one that was given up
                connection = server.accept()[0]
                connection.sendall(b"SSH-2.0-x\r\n\r\n")
                connection.close()

        threading.Thread(target=babble, daemon=True).start()
        with pytest.raises((HTTPException, ConnectionError)):
            client.get(url, timeout=5)
