"""What a release is asked from outside, of a real server that answers badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stackhand.release.stages import probe


class Bad(BaseHTTPRequestHandler):
    """Answers each path in a way of its own."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/login")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "9" if self.path == "/short" else "2000000")
        self.end_headers()
        self.wfile.write(b"{}" if self.path == "/short" else b" " * 2_000_000)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Bad)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/moved", 302, "302 to /login"),
        ("/short", 0, "no answer: "),
        ("/a b", 0, "no answer: "),
        ("/login", 200, ""),
    ],
    ids=["a redirect is not followed", "ends early", "no URL", "answers"],
)
def test_a_bad_answer_is_one(url: str, path: str, code: int, words: str) -> None:
    answer = probe.ask(url + path, 2.0)
    assert (answer.code, answer.message[: len(words or answer.message)]) == (code, words)


def test_no_more_is_read_than_is_bearable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(probe, "_json", lambda text: read.append(len(text)) or {})
    assert probe.ask(f"{url}/large", 2.0).code == 200
    assert read == [probe.MOST]
