"""Databases that somebody else uses, or that are not as they should be: a migration waits, or says what to do."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from service.database import DatabaseUnavailable
from service.migration import lock, migrate
from service.migration.migrate import Limits
from service.settings import SCHEMA, Settings
from tests.checkout import eventually, free_ports
from tests.service.migrating import (
    WAIT_FOR_GATE,
    active,
    asking,
    connected,
    in_another_database,
    in_background,
    pooler,
    query,
    refused,
    states,
    write,
)

ALONE = "-- migrate: no-transaction\n"


def test_several_starters_apply_each_file_once(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b="INSERT INTO a VALUES (1)")
    starters = [in_background(lambda: migrate.apply(settings, files)) for _ in range(6)]
    for thread, _ in starters:
        thread.join()
    done = [found[0] for _, found in starters]
    assert sorted(done, key=str) == [["001_a.sql", "002_b.sql"]] + [[]] * 5
    assert query(settings, "SELECT n FROM a") == [[1]]


def test_who_keeps_the_lock_is_named(settings: Settings) -> None:
    with connected(settings) as other:
        other.run("SET application_name = 'a very slow one'")
        lock.take(other, 1, lambda: False)
        pid, since = other.run("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")[0]
        when = since.isoformat(timespec="seconds")
        with refused("locked", f"more than 0.5 s: a very slow one, pid {pid}, connected since {when}; wait for it"):
            migrate.apply(replace(settings, database_wait=0.5), [])


def test_the_lock_of_one_database_is_not_that_of_another(settings: Settings) -> None:
    with connected(replace(settings, database=replace(settings.database, name="postgres"))) as other:
        lock.take(other, 1, lambda: False)
        assert migrate.apply(replace(settings, database_wait=0.5), []) == []
        with connected(settings) as here:
            here.run(f"SELECT pg_advisory_lock({lock.LOCK + 1})")  # nor is another one
            # the session that has just applied them may not have quite ended
            eventually(lambda: lock.holder(here) is None, "nobody holds the lock of this database")


def test_the_lock_is_free_when_its_holder_is_gone(settings: Settings) -> None:
    with connected(settings) as other:
        lock.take(other, 1, lambda: False)
        thread, found = in_background(lambda: migrate.apply(replace(settings, database_wait=60), []))
        eventually(lambda: asking(settings), "a starter asks")
        assert found == []
    thread.join()
    assert found == [[]]


def test_a_stop_ends_the_wait_for_the_lock(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)")
    stop = threading.Event()
    with connected(settings) as other:
        lock.take(other, 1, lambda: False)
        thread, found = in_background(lambda: migrate.apply(replace(settings, database_wait=3600), files, stop=stop))
        eventually(lambda: asking(settings), "a starter asks")
        stop.set()
        thread.join(30)
    assert getattr(found[0], "code", found) == "stopped"


def test_a_stop_ends_the_wait_for_the_database(settings: Settings) -> None:
    nobody = replace(settings.database, port=free_ports()["POSTGRES_PORT"])
    with refused("stopped"):
        migrate.apply(replace(settings, database=nobody, database_wait=3600), [], stop=lambda: True)


def test_a_stop_between_files_keeps_what_is_done(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b="SELECT 1")
    is_made = lambda: query(settings, "SELECT to_regclass('a') IS NOT NULL") == [[True]]  # noqa: E731
    with refused("stopped", "the next start goes on"):
        migrate.apply(settings, files, stop=is_made)
    assert states(settings, files) == ["applied", "pending"]


@pytest.mark.parametrize("head", ["", ALONE], ids=["in a transaction", "without one"])
def test_a_table_that_stays_locked_is_given_up_after_some_attempts(
    settings: Settings, tmp_path: Path, head: str
) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b=f"{head}ALTER TABLE IF EXISTS a ADD COLUMN m int")
    migrate.apply(settings, files[:1])
    quick = Limits(lock_timeout=0.1, attempts=3, pause=0.01)
    with connected(settings) as other:
        other.run("BEGIN; SELECT * FROM a")
        with refused("lock_timeout", "002_b.sql: canceling statement due to lock timeout: end what holds the lock"):
            migrate.apply(settings, files, limits=quick)
        other.run("COMMIT")
    assert states(settings, files) == ["applied", "failed" if head else "pending"]
    assert migrate.apply(settings, files, limits=quick) == ["002_b.sql"]


def test_a_table_that_is_free_again_is_changed_at_the_next_attempt(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b="ALTER TABLE a ADD COLUMN m int")
    migrate.apply(settings, files[:1])
    with connected(settings) as other:
        other.run("BEGIN; SELECT * FROM a")
        patient = Limits(lock_timeout=0.1, attempts=1000, pause=0.0)
        thread, found = in_background(lambda: migrate.apply(settings, files, limits=patient))
        eventually(lambda: active(settings, "ALTER TABLE a"), "the file waits")
        other.run("COMMIT")
        thread.join()
    assert found == [["002_b.sql"]]


def test_the_limits_are_those_that_are_documented() -> None:
    assert Limits() == Limits(lock_timeout=5.0, attempts=4, pause=0.5)


@pytest.mark.parametrize(("backends", "shared"), [(2, False), (1, True)], ids=["in turn", "one for all"])
def test_a_pooler_that_changes_backends_is_refused(
    settings: Settings, tmp_path: Path, backends: int, shared: bool
) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)")
    with pooler(settings, backends, shared=shared) as between, refused("pooler", "the address of PostgreSQL itself"):
        migrate.apply(between, files)
    assert query(settings, "SELECT to_regclass('a'), to_regclass('schema_migration')") == [[None, None]]
    assert query(settings, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [[0]]


def test_a_pooler_that_keeps_a_backend_for_each_client_does_no_harm(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)")
    with pooler(settings, backends=1) as between:
        assert migrate.apply(between, files) == ["001_a.sql"]


def test_a_lock_that_is_not_held_where_we_are_is_noticed(settings: Settings) -> None:
    with connected(settings) as connection:
        lock.take(connection, 1, lambda: False)
        lock.verify(connection)
        connection.run("SELECT pg_advisory_unlock_all()")
        with refused("pooler"):
            lock.verify(connection)


def test_a_user_without_privileges_is_told(settings: Settings, tmp_path: Path) -> None:
    name = f"guest_{settings.database.name}"
    query(settings, f"CREATE ROLE {name} LOGIN")
    guest = replace(settings, database=replace(settings.database, user=name))
    files = write(tmp_path, m001_a="SELECT 1", m002_b="ALTER TABLE schema_migration ADD COLUMN more int")
    try:
        elsewhere = replace(guest, database=replace(guest.database, schema="another"))
        with refused("no_privilege", "permission denied for database", "the database's user lacks a privilege"):
            migrate.apply(elsewhere, files)
        with refused("no_privilege", "may not use the schema of DATABASE_SCHEMA; grant it USAGE"):
            migrate.apply(guest, files)
        query(settings, f"GRANT USAGE ON SCHEMA {SCHEMA} TO {name}")
        with refused("no_privilege", f"permission denied for schema {SCHEMA}: the database's user lacks a privilege"):
            migrate.apply(guest, files)
        migrate.apply(settings, files[:1])
        with refused("no_privilege", "permission denied for table schema_migration"):
            migrate.status(guest, files)
        query(settings, f"GRANT ALL ON schema_migration TO {name}")
        with refused("no_privilege", "002_b.sql, line 1: must be owner of table schema_migration"):
            migrate.apply(guest, files)
    finally:
        query(settings, f"DROP OWNED BY {name}; DROP ROLE {name}")


def test_a_database_that_takes_no_changes_is_told_when_there_is_something_to_change(
    settings: Settings, tmp_path: Path
) -> None:
    files = write(tmp_path, m001_a="SELECT 1", m002_b="CREATE TABLE a (n int)")
    in_another_database(settings, f"ALTER DATABASE {settings.database.name} SET default_transaction_read_only = on")
    with refused("read_only", "give the service the address of the primary"):
        migrate.apply(settings, files)
    in_another_database(settings, f"ALTER DATABASE {settings.database.name} RESET default_transaction_read_only")
    migrate.apply(settings, files[:1])
    in_another_database(settings, f"ALTER DATABASE {settings.database.name} SET default_transaction_read_only = on")
    assert migrate.apply(settings, files[:1]) == []
    with refused("read_only", "002_b.sql, line 1"):
        migrate.apply(settings, files)


def test_a_database_that_is_not_there_is_waited_for_and_then_told(settings: Settings) -> None:
    gone = replace(settings, database=replace(settings.database, port=1), database_wait=0.5)
    with pytest.raises(
        DatabaseUnavailable, match=r"no connection to Address\(127\.0\.0\.1:1/.*\) within 0\.5 s: Can't"
    ):
        migrate.apply(gone, [])
    wrong = replace(settings, database=replace(settings.database, name="nowhere"), database_wait=0.5)
    with pytest.raises(DatabaseUnavailable, match='database "nowhere" does not exist'):
        migrate.status(wrong, [])


def test_a_connection_that_breaks_in_a_file_is_told_and_the_next_start_goes_on(
    settings: Settings, tmp_path: Path
) -> None:
    query(settings, "CREATE TABLE gate AS SELECT 1")
    files = write(tmp_path, m001_a=f"CREATE TABLE a (n int); {WAIT_FOR_GATE}")
    thread, found = in_background(lambda: migrate.apply(settings, files))
    (backend,) = eventually(lambda: active(settings, "FROM gate"), "the file runs")
    query(settings, f"SELECT pg_terminate_backend({backend})")
    thread.join()
    assert isinstance(found[0], DatabaseUnavailable)
    assert "the connection broke in 001_a.sql" in str(found[0])
    query(settings, "DELETE FROM gate")
    assert migrate.apply(settings, files) == ["001_a.sql"]
