"""Migrations against a real PostgreSQL: each once, in order, whole or not at all."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pg8000.exceptions import DatabaseError

from service import __version__, database
from service.migration import lexer, migrate
from service.settings import Settings
from tests.service.migrating import connected, in_another_database, query, refused, states, write

ALONE = "-- migrate: no-transaction\n"
INDEX = f"{ALONE}CREATE UNIQUE INDEX CONCURRENTLY i ON a (n)"
IS_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('i')"
OLD_TABLE = """CREATE TABLE schema_migration (number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(), milliseconds integer NOT NULL)"""
OLD_INSERT = "INSERT INTO schema_migration (number, name, sha256, milliseconds) VALUES ({}, '{}', '{}', 7)"


def test_pending_files_are_applied_in_order_and_once(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b="INSERT INTO a VALUES (1)")
    assert migrate.apply(settings, files) == ["001_a.sql", "002_b.sql"]
    assert migrate.apply(settings, files) == []
    assert query(settings, "SELECT n FROM a") == [[1]]


def test_what_was_applied_is_recorded(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m003_a="SELECT 1", m005_b="-- migrate: breaking\nSELECT pg_sleep(0.02)")
    migrate.apply(settings, files)
    rows = query(
        settings, "SELECT number, name, sha256, state, breaking, host, version FROM schema_migration ORDER BY 1"
    )
    where = ["applied", socket.gethostname(), __version__]
    assert rows == [
        [3, "003_a.sql", files[0].sha256, where[0], False, *where[1:]],
        [5, "005_b.sql", files[1].sha256, where[0], True, *where[1:]],
    ]
    assert query(settings, "SELECT milliseconds BETWEEN 20 AND 60000 FROM schema_migration WHERE number = 5") == [
        [True]
    ]
    recent = "SELECT bool_and(applied_at BETWEEN now() - interval '1 min' AND now()) FROM schema_migration"
    assert query(settings, recent) == [[True]]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("CREATE TABLE a (n int);\nSELECT 1;\nINSERT INTO b\nVALUES (1);\nSELECT 2", 'line 3: relation "b" does not'),
        ("CREATE TABLE a (n int);\nSELECT 'é',\n  nothing;", 'line 3: column "nothing" does not exist'),
        ("CREATE TABLE a (n int);\n\n-- why\nSELECT 1\n  / 0;\nSELECT 2", "line 4: division by zero"),
        ("CREATE TABLE a (n int); SELECT 1 FRM a", 'line 1: syntax error at or near "a"'),
        (
            "CREATE TABLE a (n int);\nCREATE INDEX CONCURRENTLY i ON a (n)",
            'cannot run inside a transaction block; give the file the first line "-- migrate: no-transaction"',
        ),
        (
            "CREATE TABLE a (n int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO a VALUES (1), (1)",
            "001_a.sql: duplicate key value violates",
        ),
    ],
    ids=["name", "letters before it", "while running", "syntax", "not in a transaction", "at the commit"],
)  # fmt: skip
def test_a_file_that_fails_leaves_nothing_behind_and_says_where(
    settings: Settings, tmp_path: Path, sql: str, words: str
) -> None:
    with refused("sql", "001_a.sql", words):
        migrate.apply(settings, write(tmp_path, m001_a=sql))
    assert query(settings, "SELECT to_regclass('a'), count(*) FROM schema_migration") == [[None, 0]]


def test_files_before_one_that_fails_stay_applied(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b="SELECT 1/0", m003_c="SELECT 1")
    with refused("sql", "002_b.sql, line 1: division by zero"):
        migrate.apply(settings, files)
    assert states(settings, files) == ["applied", "pending", "pending"]
    assert migrate.apply(settings, write(tmp_path, m002_b="SELECT 1/1")) == ["002_b.sql", "003_c.sql"]


def test_a_refused_plan_runs_nothing(settings: Settings, tmp_path: Path) -> None:
    migrate.apply(settings, write(tmp_path, m001_a="SELECT 1"))
    with refused("edited", "001_a.sql was changed after it had been applied"):
        migrate.apply(settings, write(tmp_path, m001_a="SELECT 2", m002_b="CREATE TABLE b (n int)"))
    assert query(settings, "SELECT to_regclass('b')") == [[None]]


def test_line_endings_are_no_change(settings: Settings, tmp_path: Path) -> None:
    migrate.apply(settings, write(tmp_path, m001_a="SELECT 1;\nSELECT 2;\n"))
    (tmp_path / "001_a.sql").write_bytes(b"\xef\xbb\xbfSELECT 1;\r\nSELECT 2;\r\n")
    assert migrate.apply(settings, migrate.read(tmp_path)) == []


def test_an_older_release_starts_on_a_newer_compatible_schema(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="SELECT 1", m002_b="SELECT 2", m003_c="-- migrate: breaking\nSELECT 3")
    migrate.apply(settings, files[:2])
    assert migrate.apply(settings, files[:1]) == []
    assert [(each.name, each.state, each.transaction) for each in migrate.status(settings, files[:1])] == [
        ("001_a.sql", "applied", True),
        ("002_b.sql", "applied", None),
    ]
    migrate.apply(settings, files)
    with refused("ahead", "003_c.sql"):
        migrate.apply(settings, files[:1])


# The table


def test_the_table_of_an_older_release_is_upgraded_and_that_release_goes_on(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="SELECT 1", m002_b="SELECT 2", m003_c="SELECT 3")
    query(settings, OLD_TABLE)
    query(settings, OLD_INSERT.format(1, files[0].name, files[0].sha256))
    assert states(settings, files) == ["applied", "pending", "pending"]
    assert migrate.apply(settings, files[:2]) == ["002_b.sql"]
    query(settings, OLD_INSERT.format(3, files[2].name, files[2].sha256))
    assert states(settings, files) == ["applied"] * 3
    assert query(
        settings, "SELECT number, milliseconds, state, breaking, host FROM schema_migration WHERE number <> 2"
    ) == [
        [1, 7, "applied", False, ""],
        [3, 7, "applied", False, ""],
    ]


def test_columns_of_a_newer_release_do_no_harm(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="SELECT 1", m002_b="SELECT 2")
    migrate.apply(settings, files[:1])
    query(settings, "ALTER TABLE schema_migration ADD COLUMN more text DEFAULT ''")
    assert migrate.apply(settings, files) == ["002_b.sql"]


def test_a_table_of_somebody_else_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    query(settings, "CREATE TABLE schema_migration (version text)")
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)")
    for call in (migrate.apply, migrate.status):
        with refused("foreign_table", "set DATABASE_SCHEMA to another one"):
            call(settings, files)
    assert query(settings, "SELECT * FROM schema_migration") == []


# What a file may do to its session


def test_what_a_file_sets_is_over_with_it(settings: Settings, tmp_path: Path) -> None:
    files = write(
        tmp_path,
        m001_a="SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; CREATE ROLE nobody_in_particular",
        m002_b="GRANT USAGE, CREATE ON SCHEMA stackhand_status TO nobody_in_particular; SET ROLE nobody_in_particular",
        m003_c="SELECT set_config('search_path', '', false); SET default_transaction_read_only = on",
        m004_d=r"CREATE TABLE a AS SELECT '\' AS b",
        m005_e="DROP TABLE a; DROP OWNED BY nobody_in_particular; DROP ROLE nobody_in_particular",
    )
    assert len(migrate.apply(settings, files)) == 5


def test_a_statement_may_take_as_long_as_it_takes(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "READ_WITHIN", 1.0)
    in_another_database(settings, f"ALTER DATABASE {settings.database.name} SET statement_timeout = '500ms'")
    files = write(tmp_path, m001_a="SELECT pg_sleep(1.5)", m002_b=f"{ALONE}SELECT pg_sleep(0.7)")
    assert len(migrate.apply(settings, files)) == 2


# Without a transaction


def test_an_index_that_failed_is_made_again(settings: Settings, tmp_path: Path) -> None:
    files = write(
        tmp_path, m001_a="CREATE TABLE a (n int); INSERT INTO a VALUES (1), (1)", m002_b=INDEX, m003_c="SELECT 1"
    )
    with refused("sql", "002_b.sql, line 2: could not create unique index"):
        migrate.apply(settings, files)
    assert states(settings, files) == ["applied", "failed", "pending"]
    assert query(settings, IS_VALID) == [[False]]
    query(settings, "DELETE FROM a")
    assert migrate.apply(settings, files) == ["002_b.sql", "003_c.sql"]
    assert query(settings, IS_VALID) == [[True]]
    assert query(settings, "SELECT count(*), count(*) FILTER (WHERE state = 'applied') FROM schema_migration") == [
        [3, 3]
    ]


def test_a_file_that_failed_may_be_changed(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a=f"{ALONE}SELECT 1/0")
    with refused("sql", "001_a.sql, line 2: division by zero"):
        migrate.apply(settings, files)
    files = write(tmp_path, m001_a="SELECT 1")
    assert migrate.apply(settings, files) == ["001_a.sql"]
    assert query(settings, "SELECT sha256, state FROM schema_migration") == [[files[0].sha256, "applied"]]


def test_an_index_whose_process_ended_before_it_was_recorded_is_recorded(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int)", m002_b=INDEX)
    migrate.apply(settings, files)
    query(settings, "UPDATE schema_migration SET state = 'running' WHERE number = 2")
    assert states(settings, files) == ["applied", "interrupted"]
    assert migrate.apply(settings, files) == ["002_b.sql"]
    assert states(settings, files) == ["applied", "applied"]


def test_an_index_that_is_not_ours_is_not_taken_for_ours(settings: Settings, tmp_path: Path) -> None:
    files = write(tmp_path, m001_a="CREATE TABLE a (n int); CREATE INDEX i ON a (n)", m002_b=INDEX)
    for _ in range(2):
        with refused("sql", '002_b.sql, line 2: relation "i" already exists'):
            migrate.apply(settings, files)
    assert query(settings, IS_VALID) == [[True]]


def test_a_half_made_index_is_found_by_its_very_name(settings: Settings, tmp_path: Path) -> None:
    table = 'CREATE SCHEMA "S"; CREATE TABLE "S"."on" (n int); INSERT INTO "S"."on" VALUES (1), (1)'
    index = f'{ALONE}CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "My ""index" ON "S"."on" (n)'
    files = write(tmp_path, m001_a=table, m002_b=index)
    with refused("sql"):
        migrate.apply(settings, files)
    query(settings, 'DELETE FROM "S"."on"')
    assert migrate.apply(settings, files) == ["002_b.sql"]
    assert query(settings, """SELECT indisvalid FROM pg_index WHERE indrelid = to_regclass('"S"."on"')""") == [[True]]


# Statements are told apart as PostgreSQL does it

pieces = st.sampled_from(
    [
        "SELECT 1",
        "SELECT 'a;'",
        r"SELECT E'\';'",
        'SELECT 1 AS ";"',
        "SELECT $$;$$",
        "SELECT $t$;$$;$t$",
        "/*;/*;*/*/ SELECT 1",
        "SELECT --;\n1",
        "SELECT E'a'\n'\\';'",
        "SELECT U&';'",
        "SELECT 2*/*;*/3",
        "SELECT 1 AS a$b$",
        "SELECT N';'",
        "CREATE RULE r AS ON INSERT TO pg_class DO (SELECT 1; SELECT 2)",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
    ]
)


@given(st.lists(pieces, min_size=1, max_size=4), st.sampled_from([";", " ; ", ";\n", ";;", "; -- ;\n"]))
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_postgresql_takes_every_statement_for_one(settings: Settings, chosen: list[str], between: str) -> None:
    found = lexer.statements(between.join(chosen))
    assert len(found) == len(chosen)
    with connected(settings) as connection:
        for statement in found:
            prepare(connection, statement.text)
        if len(found) > 1:
            with pytest.raises(DatabaseError, match="multiple commands"):
                prepare(connection, between.join(chosen))


def prepare(connection: object, sql: str) -> None:
    connection.prepare_statement(sql, ())  # type: ignore[attr-defined]
