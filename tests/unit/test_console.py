"""What people see, on whatever they see it."""

from __future__ import annotations

import io
import json
import re
import sys

import msgspec
import pytest

from stackhand.cli import console, loglines
from stackhand.cli.failure import ExitCode, Failure, FailureDocument
from stackhand.cli.reporter import Reporter, StepReport


@pytest.fixture
def ascii_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C")


def test_a_pipe_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    stream = io.StringIO()
    reporter = Reporter(stream)
    reporter.task("Start the services")
    reporter.step(StepReport("api", "200 OK", 1.25, ["new"]), changed=True)
    assert stream.getvalue() == "  ✓ api          1.2 s  200 OK\n  · new\n"


def test_subjects_of_the_same_text_share_a_line() -> None:
    lines = ["web: lacks npm", "no subject", "db: stays", "worker: lacks npm", "no subject", "web: lacks npm"]
    assert console.together(lines) == ["web, worker: lacks npm", "no subject", "db: stays"]


def test_a_live_line_shows_brackets_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    reporter = Reporter(stream)
    reporter.task("Prepare")
    reporter.progress("building api: [builder 1/4] FROM python")
    assert reporter.live is not None
    reporter.live.refresh()
    reporter.stop()
    assert "building api: [builder 1/4] FROM python" in stream.getvalue()


@pytest.mark.usefixtures("ascii_locale")
def test_a_locale_without_more_gets_ascii() -> None:
    stream = io.StringIO()
    reporter = Reporter(stream)
    reporter.step(StepReport("api", "200 OK", 0), changed=True)
    reporter.failure(Failure("It failed.", evidence=["why"], next="do this"))
    assert stream.getvalue().isascii()
    assert stream.getvalue() == " ok api          0.0 s  200 OK\n !! It failed.\n    why\n    next: do this\n"


def test_a_json_log_line_is_shown_as_people_read() -> None:
    line = '{"time": "12:00", "level": "error", "event": "boom", "path": "/x", "exception": "Trace\\nback"}'
    assert console.readable(line) == "12:00 error boom path=/x\n    Trace\n    back"


@pytest.mark.parametrize("line", ["plain", "{broken", '{"no": "event"}', "[1]"])
def test_another_log_line_is_shown_as_it_is(line: str) -> None:
    assert console.readable(line) == line


HOSTILE = "a\x1b]0;title\x07b\x1b[2Jc\x9b6nd\x7f\x1b[31mred\x1b[0m\r"
SHOWN = r"a\x1b]0;title\x07b\x1b[2Jc\x9b6nd\x7fred\x0d"
OWN = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|2K|1A)|\r")
"""What a live view writes: colours, and its line again."""


def shown_everywhere() -> None:
    reporter = Reporter(sys.stdout)
    reporter.failure(Failure(HOSTILE, evidence=[HOSTILE, json.dumps({"event": HOSTILE})], next=HOSTILE))
    reporter.step(StepReport(HOSTILE, HOSTILE, 1, [HOSTILE]), changed=True)
    reporter.note(HOSTILE)
    reporter.task(HOSTILE)
    reporter.progress(HOSTILE)
    reporter.stop()
    console.table([[HOSTILE, HOSTILE]], ["", ""], {})
    console.write(HOSTILE)
    console.notify(HOSTILE)
    console.document({"found": HOSTILE})
    if sys.stdout.isatty():
        console.show(HOSTILE)
        loglines.writer(["api", "web"])("api", HOSTILE)
        loglines.writer(["api"])("api", json.dumps({"event": HOSTILE}))


class Stream(io.StringIO):
    """Something to write on, which may be a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal  # type: ignore[method-assign]


@pytest.mark.parametrize("terminal", [True, False])
def test_what_others_wrote_moves_no_terminal(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Stream(terminal=terminal)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    shown_everywhere()
    written = OWN.sub("", stream.getvalue()) if terminal else stream.getvalue()
    assert written.count(SHOWN) >= (14 if terminal else 11)
    assert re.findall(r"[^\n\t -~\xa0-\U0010ffff]", written) == []


def test_a_log_in_a_pipe_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    loglines.writer(["api"])("api", HOSTILE)
    assert capsys.readouterr().out == f"{HOSTILE}\n"


def test_a_failure_crosses_a_process_as_a_document() -> None:
    failure = Failure("It failed.", evidence=["why"], next="do this", code=ExitCode.PORT_TAKEN)
    document = msgspec.json.encode(failure.document())
    again = Failure.of(msgspec.json.decode(document, type=FailureDocument))
    assert (
        msgspec.to_builtins(again.document())
        == msgspec.json.decode(document)
        == {
            "code": 5,
            "kind": "port_taken",
            "what": "It failed.",
            "evidence": ["why"],
            "next": "do this",
        }
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fix it, then ./inv up (./inv logs api)", "fix it, then stackhand up (stackhand logs api)"),
        ("sudo ./inv status\n./inv down;", "sudo stackhand status\nstackhand down;"),
        ("next: sh ../shop/./inv, ./inventory and ./inv.md", "next: sh ../shop/./inv, ./inventory and ./inv.md"),
    ],
)
def test_with_command_names_what_somebody_can_type(text: str, shown: str) -> None:
    assert console.with_command(text, "stackhand") == shown
    assert console.with_command(text, "./inv") == text
