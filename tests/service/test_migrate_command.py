"""`python -m service migrate`: what it says, and its exit code."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from service import __version__
from service.migration import command as commands
from service.migration import migrate
from service.settings import Settings
from tests.checkout import ROOT
from tests.service.migrating import query, write

ALONE = "-- migrate: no-transaction\n"


def command(settings: Settings, *flags: str) -> subprocess.CompletedProcess[str]:
    at = settings.database
    environment = {
        "DATABASE_URL": f"postgresql://{at.user}@{at.host}:{at.port}/{at.name}",
        "DATABASE_WAIT": "5" if at.port > 1 else "0.1",
    }
    words = [sys.executable, "-m", "service", "migrate", *flags]
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_command_shows_what_is_applied(settings: Settings) -> None:
    names = [each.name for each in migrate.read()]
    before = json.loads(command(settings, "--plan", "--json").stdout)
    assert (before["applied"], before["pending"]) == ([], names)
    assert before["migrations"][0]["applied_at"] is None
    assert json.loads(command(settings, "--json").stdout)["applied"] == names
    after = command(settings, "--status")
    assert after.returncode == 0
    assert after.stdout.startswith("001_history.sql  applied  ")
    assert command(settings, "--plan").stdout == "nothing is pending\n"


def test_the_command_ends_with_3_where_there_is_no_database(settings: Settings) -> None:
    said = command(replace(settings, database=replace(settings.database, port=1)), "--json")
    assert (said.returncode, said.stdout) == (3, "")
    assert json.loads(said.stderr)["error"]["code"] == "database_unavailable"


def run(settings: Settings, folder: Path, *, status: bool = False, plan: bool = False, as_json: bool = False) -> int:
    return commands.command(settings, status=status, plan=plan, as_json=as_json, folder=folder)


def test_the_columns_after_the_state_are_aligned(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(
        tmp_path, m001_a="SELECT 1", m002_longer=f"{ALONE}SELECT 1/0", m003_c="-- migrate: breaking\nSELECT 1"
    )
    migrate.apply(settings, files[:1])
    assert run(settings, tmp_path) == 1
    assert capsys.readouterr() == ("", "002_longer.sql, line 2: division by zero\n")
    assert run(settings, tmp_path, status=True) == 0
    lines = capsys.readouterr().out.splitlines()
    at, took = query(
        settings, "SELECT applied_at AT TIME ZONE 'UTC', milliseconds FROM schema_migration WHERE number = 1"
    )[0]
    assert lines == [
        f"001_a.sql  applied      {at:%Y-%m-%dT%H:%M:%S}+00:00  {took} ms  by {socket.gethostname()}",
        "002_longer.sql  failed  no-transaction",
        "003_c.sql  pending      breaking",
    ]
    assert run(settings, tmp_path, plan=True) == 0
    assert capsys.readouterr().out.splitlines() == [
        "002_longer.sql  failed  no-transaction",
        "003_c.sql  pending      breaking",
    ]


def test_the_document_has_all_that_is_known(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, m001_a="-- migrate: breaking\nSELECT 1")
    assert run(settings, tmp_path, status=True, as_json=True) == 0
    nothing = {"milliseconds": None, "host": None, "version": None}
    entry = {
        "number": 1,
        "name": "001_a.sql",
        "applied_at": None,
        "state": "pending",
        "breaking": True,
        "transaction": True,
    }
    assert json.loads(capsys.readouterr().out) == {
        "applied": [],
        "pending": ["001_a.sql"],
        "migrations": [entry | nothing],
    }
    assert query(settings, "SELECT to_regclass('schema_migration')") == [[None]]
    assert run(settings, tmp_path, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["applied"], found["pending"]) == (["001_a.sql"], [])
    assert (found["migrations"][0]["host"], found["migrations"][0]["version"]) == (socket.gethostname(), __version__)


@pytest.mark.parametrize("flag", ["status", "plan"])
def test_a_look_shows_everything_and_why_a_start_would_fail(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    migrate.apply(settings, write(tmp_path, m001_a="SELECT 1"))
    write(tmp_path, m001_a="SELECT 2", m002_b="SELECT 3")
    assert run(settings, tmp_path, as_json=True, **{flag: True}) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["pending"] == ["002_b.sql"]
    assert json.loads(err)["error"]["code"] == "edited"


def test_files_that_cannot_be_read_are_refused_without_a_database(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1.sql").write_text("SELECT 1")
    nowhere = replace(settings, database=replace(settings.database, port=1))
    assert run(nowhere, tmp_path, as_json=True) == 1
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "name"
