"""What a migration file may be, and what follows from the files and from what was applied: no database is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.migration import files
from service.migration.files import Migration, MigrationError, Record, number_of, parse, plan, read

BREAKING = "-- migrate: breaking\n"
ALONE = "-- migrate: no-transaction\n"


def file(number: int, sql: str = "SELECT 1", **more: bool) -> Migration:
    return replace(parse(f"{number:03}_{chr(96 + number)}.sql", sql.encode()), **more)


def record(number: int, sql: str = "SELECT 1", **more: object) -> Record:
    found = file(number, sql)
    return replace(Record(number, found.name, found.sha256), **more)  # type: ignore[arg-type]


def result(call: Callable[[], Any]) -> Any:
    """Return what a call returns, or how it is refused."""
    try:
        return call()
    except MigrationError as error:
        return error


def refused(code: str, *names_and_words: str) -> pytest.RaisesExc[MigrationError]:
    def fits(error: MigrationError) -> bool:
        return error.code == code and all(word in str(error) for word in names_and_words)

    return pytest.RaisesExc(MigrationError, check=fits)


def test_the_migrations_of_this_release_are_in_order() -> None:
    files = read()
    assert files[0].name == "001_history.sql"
    assert [each.number for each in files] == sorted({each.number for each in files})
    assert plan(files, []) == files


def test_a_folder_is_read_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    for name in ("010_a.sql", "009_b.sql", "100_c.sql", "README.md", "001_d.sql.bak"):
        (tmp_path / name).write_text("SELECT 1")
    assert [each.name for each in read(tmp_path)] == ["009_b.sql", "010_a.sql", "100_c.sql"]


def test_what_a_file_says_is_read() -> None:
    sql = "-- migrate: breaking, no-transaction\nVACUUM"
    sha256 = hashlib.sha256(sql.encode()).hexdigest()
    assert parse("007_a.sql", sql.encode()) == Migration(7, "007_a.sql", sql, sha256, breaking=True, transaction=False)
    plain = parse("008_b.sql", b"SELECT 1")
    assert (plain.breaking, plain.transaction) == (False, True)


@pytest.mark.parametrize(
    "head",
    [
        BREAKING,
        "-- what it is for\n\n--migrate:breaking\n",
        "/* what it is for */ -- MIGRATE : breaking \n",
        "-- migrate: no-transaction\n-- migrate: breaking\n",
        "\ufeff-- migrate: breaking\r\n",
    ],
)
def test_directives_are_comments_before_the_first_statement(head: str) -> None:
    assert parse("001_a.sql", f"{head}SELECT 1".encode()).breaking


@pytest.mark.parametrize(
    "text", ["SELECT '-- migrate: breaking'", "/* -- migrate: breaking */ SELECT 1", "-- to migrate: x\nSELECT 1"]
)
def test_what_only_looks_like_a_directive_is_none(text: str) -> None:
    assert not parse("001_a.sql", text.encode()).breaking


def test_line_endings_and_a_byte_order_mark_are_no_part_of_the_text() -> None:
    plain = parse("001_a.sql", b"SELECT 1;\n\nSELECT 2;\n")
    for content in (
        b"SELECT 1;\r\n\r\nSELECT 2;\r\n",
        b"SELECT 1;\r\rSELECT 2;\r",
        b"\xef\xbb\xbfSELECT 1;\n\nSELECT 2;\n",
    ):
        assert parse("001_a.sql", content) == plain


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "empty", "001_a.sql has no statement"),
        (b" \n-- a\n/* b; */ ;;\n", "empty", "001_a.sql has no statement"),
        (b"SELECT 1;\nSELECT '\xe9';", "encoding", "001_a.sql, line 2: this is not UTF-8"),
        ("SELECT 1".encode("utf-16"), "encoding", "line 1: this is not UTF-8"),
        (b"SELECT 1;\n\0", "encoding", "line 2: there is a zero byte"),
        (b"SELECT 1;\n\nCOMMIT;", "transaction", "001_a.sql, line 3: COMMIT is not for a migration"),
        (b"begin; SELECT 1", "transaction", "line 1: BEGIN"),
        (b"PREPARE TRANSACTION 'a'", "transaction", "line 1: PREPARE"),
        (b"SELECT 1;\nCOPY a FROM STDIN;", "copy", "line 2: COPY has no data"),
        (ALONE.encode() + b"VACUUM; VACUUM", "several", "may have one statement, but has 2"),
        (ALONE.encode() + b"CREATE INDEX CONCURRENTLY ON a (b)", "unnamed_index", "needs a name"),
        (ALONE.encode() + b"DROP INDEX CONCURRENTLY a", "not_repeatable", "write IF EXISTS or IF NOT EXISTS"),
        (
            b"-- migrate: no-transactions\nVACUUM",
            "directive",
            "line 1: the directives there are: breaking, no-transaction",
        ),
        (b"-- migrate:\nVACUUM", "directive", "line 1"),
        (b"SELECT 1;\n-- migrate: breaking\nSELECT 1", "directive", "line 2: a directive belongs before the first"),
    ],
)
def test_a_text_that_cannot_be_applied_is_refused(content: bytes, code: str, words: str) -> None:
    with refused(code, "001_a.sql", words):
        parse("001_a.sql", content)


@pytest.mark.parametrize(
    "sql",
    [
        "DO $$ BEGIN PERFORM 1; END; $$",
        "SELECT 'COMMIT;'; SELECT E'\\'; COMMIT;' -- ; COMMIT;\n; SELECT 1 /* /* */ ; COMMIT; */",
        'SELECT 1 AS "a; COMMIT;"; SELECT $x$; ROLLBACK; $x$',
    ],
)
def test_words_inside_strings_and_bodies_are_no_transaction_control(sql: str) -> None:
    assert parse("001_a.sql", sql.encode()).sql == sql


@pytest.mark.parametrize(
    "name",
    [
        "1_a.sql",
        "0001_a.sql",
        "001-a.sql",
        "001_A.sql",
        "001_a.SQL",
        "001_.sql",
        "a.sql",
        ".001_a.sql",
        "001_a.sql\n",
        "000_a.sql",
        "١٢٣_a.sql",
    ],
)
def test_a_name_that_has_no_clear_place_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("SELECT 1")
    with refused("name", name, "rename it"):
        number_of(name)
    if name.lower().endswith(".sql"):
        with refused("name", name):
            read(tmp_path)


@given(st.integers(1, 999), st.from_regex(r"[a-z0-9_]+", fullmatch=True))
def test_every_number_and_small_name_is_a_name(number: int, name: str) -> None:
    assert number_of(f"{number:03}_{name}.sql") == number


@given(st.text())
def test_any_other_name_is_refused_and_nothing_else_happens(name: str) -> None:
    found = result(lambda: number_of(name))
    assert found.code == "name" if isinstance(found, MigrationError) else f"{found:03}_" == name[:4]


@given(st.binary() | st.text().map(str.encode))
def test_any_content_is_a_migration_or_refused_with_its_name(content: bytes) -> None:
    found = result(lambda: parse("001_a.sql", content))
    assert str(found).startswith("001_a.sql") if isinstance(found, MigrationError) else found.sql


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("001_a.sql", "001_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with refused("duplicate", "001_b.sql", "001_a.sql has the number 001 already"):
        read(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with refused("no_folder", "build it again"):
        read(tmp_path / "nowhere")


FILES = [file(1), file(2), file(4)]
ALL = [record(1), record(2), record(4)]
ABOVE = "is applied already: give it a number above"
NOT_WITH = "and this release does not work with it"


@pytest.mark.parametrize(
    ("applied", "pending"),
    [
        ([], [1, 2, 4]),
        ([record(1)], [2, 4]),
        ([record(1), record(2), record(4)], []),
        ([record(1), record(2), record(4), record(5), record(7)], []),  # a newer release's, compatible
        ([record(1), record(2, state="failed")], [2, 4]),
        ([record(1), record(2, "SELECT 2", name="002_other.sql", state="running")], [2, 4]),
        ([record(1), record(3, state="failed")], [2, 4]),  # its file was withdrawn
        ([record(1), record(2), record(4), record(5, state="failed")], []),
    ],
)
def test_what_is_not_applied_is_planned_in_order(applied: list[Record], pending: list[int]) -> None:
    assert [each.number for each in plan(FILES, applied)] == pending
    assert [each.number for each in plan(FILES, applied[::-1])] == pending


@pytest.mark.parametrize(
    ("files", "applied", "code", "words"),
    [
        (FILES, [record(1), record(2, "SELECT 2")], "edited", "002_b.sql was changed after it had been applied"),
        (FILES, [record(1, name="001_x.sql")], "renamed", "001_a.sql was applied as 001_x.sql"),
        (FILES, [record(1), record(3)], "missing", "003_c.sql was applied, but its file is gone"),
        (FILES, [record(1), record(3, breaking=True)], "missing", "003_c.sql"),
        (FILES, [record(1), record(4)], "out_of_order", f"002_b.sql is new, but 004_d.sql {ABOVE} 004"),
        (FILES, [record(1), record(2), record(6)], "out_of_order", f"004_d.sql is new, but 006_f.sql {ABOVE} 006"),
        (FILES, [*ALL, record(5), record(6, breaking=True)], "ahead", f"006_f.sql is applied, {NOT_WITH}"),
        (FILES, [*ALL, record(5, breaking=True, state="failed")], "ahead", f"005_e.sql is applied, {NOT_WITH}"),
        ([], [record(1, breaking=True)], "ahead", f"001_a.sql is applied, {NOT_WITH}"),
    ],
    ids=[
        "edited",
        "renamed",
        "missing",
        "missing and breaking",
        "out of order",
        "behind a newer release",
        "ahead",
        "ahead, half done",
        "no files",
    ],
)
def test_files_that_do_not_continue_what_was_applied_are_refused(
    files: list[Migration], applied: list[Record], code: str, words: str
) -> None:
    with refused(code, words):
        plan(files, applied)


def test_an_image_without_files_starts_on_a_compatible_database() -> None:
    assert plan([], [record(1)]) == []


numbers = st.sets(st.integers(1, 12))


@given(numbers, numbers)
def test_a_plan_never_repeats_and_never_reorders(wanted: set[int], applied: set[int]) -> None:
    files, records = [file(each) for each in sorted(wanted)], [record(each) for each in applied]
    found = result(lambda: [each.number for each in plan(files, records)])
    if isinstance(found, MigrationError):
        assert found.code in {"missing", "out_of_order"}
    else:
        assert found == sorted(wanted - applied)
        assert min(found, default=99) > max(applied, default=0)


def test_the_folder_of_the_service_is_the_default() -> None:
    assert files.FOLDER.parts[-2:] == ("service", "migrations")
