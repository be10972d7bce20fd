"""Processes that migrate at once, and processes that are ended in the middle: nobody has to lend a hand."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

from service.migration import migrate
from service.settings import Settings
from tests.checkout import eventually, free_ports
from tests.service.migrating import WAIT_FOR_GATE, active, asking, connected, ended, query, start, write

ALONE = "-- migrate: no-transaction\n"


def test_ten_starters_on_an_empty_database_apply_each_file_once(settings: Settings, tmp_path: Path) -> None:
    write(
        tmp_path, m001_a="CREATE TABLE a (n int)", m002_b="INSERT INTO a VALUES (1)", m003_c="INSERT INTO a VALUES (2)"
    )
    said = [ended(each) for each in [start(settings, tmp_path) for _ in range(10)]]
    assert [code for code, _, _ in said] == [0] * 10, said
    applied = [name for _, out, _ in said for name in json.loads(out)["applied"]]
    assert sorted(applied) == ["001_a.sql", "002_b.sql", "003_c.sql"]
    assert query(settings, "SELECT n FROM a ORDER BY n") == [[1], [2]]


def test_a_process_killed_in_the_middle_of_a_file_leaves_nothing_to_do_by_hand(
    settings: Settings, tmp_path: Path
) -> None:
    query(settings, "CREATE TABLE gate AS SELECT 1")
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b=f"INSERT INTO a VALUES (1);\n{WAIT_FOR_GATE}")
    process = start(settings, tmp_path)
    eventually(lambda: active(settings, "FROM gate"), "the second file runs")
    process.kill()
    ended(process)
    # the backend notices by itself that nobody is there, though its statement would last for ever
    eventually(lambda: not active(settings, "FROM gate"), "the killed process's backend ends")
    assert [each.state for each in migrate.status(settings, files)] == ["applied", "pending"]
    assert query(settings, "SELECT count(*) FROM a") == [[0]]
    query(settings, "DELETE FROM gate")
    assert migrate.apply(settings, files) == ["002_b.sql"]
    assert query(settings, "SELECT n FROM a") == [[1]]


def test_a_process_killed_while_it_makes_an_index_leaves_nothing_to_do_by_hand(
    settings: Settings, tmp_path: Path
) -> None:
    sql = f"{ALONE}CREATE UNIQUE INDEX CONCURRENTLY i ON a (n)"
    migrate.apply(settings, write(tmp_path, m001_a="CREATE TABLE a (n int)"))
    files = write(tmp_path, m002_b=sql)
    with connected(settings) as busy:
        busy.run("BEGIN; INSERT INTO a VALUES (1)")  # which CREATE INDEX CONCURRENTLY waits for
        process = start(settings, tmp_path)
        eventually(lambda: active(settings, "CREATE UNIQUE INDEX"), "the index is being made")
        assert [each.state for each in migrate.status(settings, files)] == ["applied", "running"]
        process.kill()
        ended(process)
        eventually(lambda: not active(settings, "CREATE UNIQUE INDEX"), "the killed process's backend ends")
        eventually(
            lambda: [each.state for each in migrate.status(settings, files)] == ["applied", "interrupted"],
            "the interruption is seen",
        )
        assert query(settings, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('i')") == [[False]]
        busy.run("COMMIT")
    assert migrate.apply(settings, files) == ["002_b.sql"]
    assert query(settings, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('i')") == [[True]]
    assert [each.state for each in migrate.status(settings, files)] == ["applied", "applied"]


def test_an_index_is_made_concurrently_while_another_starter_waits(settings: Settings, tmp_path: Path) -> None:
    write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b=f"{ALONE}CREATE INDEX CONCURRENTLY i ON a (n)")
    migrate.apply(settings, migrate.read(tmp_path)[:1])
    with connected(settings) as busy:
        busy.run("BEGIN; INSERT INTO a VALUES (1)")
        first = start(settings, tmp_path)
        eventually(lambda: active(settings, "CREATE INDEX"), "the index is being made")
        second = start(settings, tmp_path)
        eventually(lambda: asking(settings), "the other starter asks for the lock")
        busy.run("COMMIT")
    assert [ended(each)[0] for each in (first, second)] == [0, 0]
    assert query(settings, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('i')") == [[True]]


def test_sigterm_in_the_middle_of_a_file_drops_its_transaction_at_once(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int);\nSELECT pg_sleep(120)")
    process = start(settings, tmp_path)
    eventually(lambda: active(settings, "pg_sleep"), "the file runs")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM
    assert time.monotonic() - began < 30  # against 120 s
    eventually(lambda: not active(settings, "pg_sleep"), "its backend ends")
    assert query(settings, "SELECT to_regclass('a')") == [[None]]
    assert [each.state for each in migrate.status(settings, files)] == ["pending"]


def test_sigterm_ends_the_wait_for_the_database(settings: Settings, tmp_path: Path) -> None:
    nobody = free_ports()["POSTGRES_PORT"]
    elsewhere = replace(settings, database=replace(settings.database, port=nobody))
    write(tmp_path, m001_a="SELECT 1")
    process = start(elsewhere, tmp_path, DATABASE_WAIT="3600")
    eventually(lambda: handles_sigterm(process.pid), "the process is set up")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM


def handles_sigterm(pid: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = int(next(line for line in lines if line.startswith("SigCgt:")).split()[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)
