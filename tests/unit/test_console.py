"""What people see, on whatever they see it."""

from __future__ import annotations

import io

import pytest

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure


@pytest.fixture
def ascii_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C")


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    stream = io.StringIO()
    reporter = console.Reporter(stream)
    reporter.task("Start the services")
    reporter.step({"name": "api", "words": "200 OK", "seconds": 1.25, "notes": ["new"]}, changed=True)
    assert stream.getvalue() == "  ✓ api          1.2 s  200 OK\n  · new\n"


def test_a_live_line_shows_brackets_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    reporter = console.Reporter(stream)
    reporter.task("Prepare")
    reporter.progress("building api: [builder 1/4] FROM python")
    assert reporter.live is not None
    reporter.live.refresh()
    reporter.stop()
    assert "building api: [builder 1/4] FROM python" in stream.getvalue()


@pytest.mark.usefixtures("ascii_locale")
def test_a_locale_without_more_gets_ascii() -> None:
    stream = io.StringIO()
    reporter = console.Reporter(stream)
    reporter.step({"name": "api", "words": "200 OK", "seconds": 0}, changed=True)
    reporter.failure(Failure("It failed.", evidence=["why"], next="do this"))
    assert stream.getvalue().isascii()
    assert stream.getvalue() == " ok api          0.0 s  200 OK\n !! It failed.\n    why\n    next: do this\n"


def test_a_json_log_line_is_shown_as_people_read() -> None:
    line = '{"time": "12:00", "level": "error", "event": "boom", "path": "/x", "exception": "Trace\\nback"}'
    assert console.readable(line) == "12:00 error boom path=/x\n    Trace\n    back"


@pytest.mark.parametrize("line", ["plain", "{broken", '{"no": "event"}', "[1]"])
def test_another_log_line_is_shown_as_it_is(line: str) -> None:
    assert console.readable(line) == line


def test_a_failure_crosses_a_process_as_a_document() -> None:
    failure = Failure("It failed.", evidence=["why"], next="do this", code=ExitCode.PORT_TAKEN)
    again = Failure.from_dict(failure.to_dict())
    assert (
        again.to_dict()
        == failure.to_dict()
        == {
            "code": 5,
            "kind": "port_taken",
            "what": "It failed.",
            "evidence": ["why"],
            "next": "do this",
        }
    )
