"""What is known to be vulnerable is named, and what could not be looked up is not called safe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from stackhand.cli.failure import Failure
from stackhand.development import verbs as development
from stackhand.development import vulnerabilities
from stackhand.release.images import scan
from tests.checkout import ROOT

LOCK = "requirements.lock"
PINS = """good==1.0 \\
    --hash=sha256:aa
bad==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:bb
"""
ENTRY = {
    "id": "GHSA-1",
    "aliases": ["CVE-2026-1"],
    "summary": "Reads what it should not",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "bad"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


class Database(BaseHTTPRequestHandler):
    """OSV, as far as it is asked."""

    entry: ClassVar[dict[str, Any]] = ENTRY
    short = False

    def do_GET(self) -> None:
        self.answer(self.entry)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        found = [{"vulns": [{"id": "GHSA-1"}]} if each["package"]["name"] == "bad" else {} for each in asked]
        self.answer({"results": found[1:] if self.short else found})

    def answer(self, document: dict[str, Any]) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vulnerabilities, "CONTENT", tmp_path)
    monkeypatch.setattr(scan, "PROJECT", tmp_path)
    (tmp_path / LOCK).write_text(PINS, encoding="utf-8")
    return tmp_path


def test_a_vulnerable_package_is_named_also_where_only_another_system_has_it(checkout: Path, database: str) -> None:
    with pytest.raises(Failure, match="1 known vulnerabilities") as failure:
        vulnerabilities.check([LOCK], database)
    assert failure.value.evidence == (f"CVE-2026-1  bad 2.0, fixed in 2.1: Reads what it should not ({LOCK})",)


@pytest.mark.parametrize("days", [1, -1])
def test_a_vulnerability_is_allowed_until_its_day(checkout: Path, database: str, days: int) -> None:
    until = (datetime.now(UTC) + timedelta(days=days)).date()
    entry = f"- {{finding: CVE-2026-1, until: {until}, reason: never called}}\n"
    (checkout / scan.FILE).write_text(entry, encoding="utf-8")
    if days > 0:
        vulnerabilities.check([LOCK], database)
        return
    with pytest.raises(Failure, match="1 known vulnerabilities"):
        vulnerabilities.check([LOCK], database)


def test_withdrawn_report_is_ignored(
    checkout: Path, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Database, "entry", {**ENTRY, "withdrawn": "2026-11-01T00:00:00Z"})
    vulnerabilities.check([LOCK], database)
    assert "no known vulnerabilities in 2 packages" in capsys.readouterr().out


@pytest.mark.parametrize("short", [True, False])
def test_failed_lookup_is_reported_and_not_called_safe(
    checkout: Path, database: str, short: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Database, "short", short)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    vulnerabilities.check([LOCK], database if short else "http://127.0.0.1:1")
    said = capsys.readouterr().out
    assert "skipped, vulnerabilities are unknown" in said
    assert "::warning title=Vulnerabilities were not looked up::" in said
    assert "no known vulnerabilities" not in said


def test_every_lock_is_looked_up() -> None:
    locks = {str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.lock"), *ROOT.glob("service/*.lock")]}
    assert {*development.LOCKS} == locks - {"images.lock"}
    assert len(vulnerabilities.packages(ROOT, development.LOCKS)) > 100
