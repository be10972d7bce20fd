"""SQL is taken apart where PostgreSQL's lexer would, and nowhere else."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.migration import lexer
from service.migration.lexer import ConcurrentIndex

ATOMIC = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END"
REPLACED = ATOMIC.replace("CREATE", "create or replace")
PROCEDURE = ATOMIC.replace("FUNCTION", "PROCEDURE")
RULE = "CREATE RULE r AS ON DELETE TO t DO (SELECT 1; SELECT 2)"
PLPGSQL = "CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql AS $body$ BEGIN COMMIT; END; $body$"
SPLIT = [
    ("SELECT 1", ["SELECT 1"]),
    ("SELECT 1;", ["SELECT 1"]),
    (";; SELECT 1 ;;\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
    ("", []),
    (" \t\n-- SELECT 1;\n/* SELECT 2; */ ;", []),
    ("SELECT 1 -- one; two\n;SELECT 2", ["SELECT 1", "SELECT 2"]),
    ("SELECT 1 --one;\r;SELECT 2", ["SELECT 1", "SELECT 2"]),
    ("SELECT /* ; /* ; */ ; */ 1; SELECT 2", ["SELECT /* ; /* ; */ ; */ 1", "SELECT 2"]),
    ("SELECT 2*/*;*/3; SELECT 4", ["SELECT 2*/*;*/3", "SELECT 4"]),
    ("SELECT 1/**/;SELECT 2", ["SELECT 1", "SELECT 2"]),
    ("SELECT ';''; '; SELECT 2", ["SELECT ';''; '", "SELECT 2"]),
    (r"SELECT '\'; SELECT 2", [r"SELECT '\'", "SELECT 2"]),
    (r"SELECT E'\';'; SELECT e'\\'; SELECT 3", [r"SELECT E'\';'", r"SELECT e'\\'", "SELECT 3"]),
    (r"SELECT E'\\\';'; SELECT 2", [r"SELECT E'\\\';'", "SELECT 2"]),
    ("SELECT E'a'\n  '\\';'; SELECT 2", ["SELECT E'a'\n  '\\';'", "SELECT 2"]),
    ("SELECT E'a' -- it's\n '\\';'; SELECT 2", ["SELECT E'a' -- it's\n '\\';'", "SELECT 2"]),
    (r"SELECT U&'\0061;', B'1', X'1F', N';'; SELECT 2", [r"SELECT U&'\0061;', B'1', X'1F', N';'", "SELECT 2"]),
    ("SELECT type'\\'; SELECT 2", ["SELECT type'\\'", "SELECT 2"]),
    ('SELECT 1 AS "a;""b;"; SELECT 2', ['SELECT 1 AS "a;""b;"', "SELECT 2"]),
    ("SELECT $$;$$; SELECT 2", ["SELECT $$;$$", "SELECT 2"]),
    ("SELECT $a$ $$;$$ $b$ ; $a$; SELECT 2", ["SELECT $a$ $$;$$ $b$ ; $a$", "SELECT 2"]),
    ("SELECT $é$;$é$; SELECT 2", ["SELECT $é$;$é$", "SELECT 2"]),
    ("SELECT a$b$; SELECT c$b$", ["SELECT a$b$", "SELECT c$b$"]),
    ("SELECT $1$$;$$; SELECT 2", ["SELECT $1$$;$$", "SELECT 2"]),
    ("SELECT 1$$;$$; SELECT 2", ["SELECT 1$$;$$", "SELECT 2"]),
    (PLPGSQL + "; SELECT 2", [PLPGSQL, "SELECT 2"]),
    (ATOMIC + "; SELECT 3", [ATOMIC, "SELECT 3"]),
    (REPLACED + "; COMMIT", [REPLACED, "COMMIT"]),
    (PROCEDURE + "; COMMIT", [PROCEDURE, "COMMIT"]),
    (
        "CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1'; COMMIT",
        ["CREATE FUNCTION begin() RETURNS int LANGUAGE sql AS 'SELECT 1'", "COMMIT"],
    ),
    ("CREATE FUNCTION f(begin atomic) RETURNS int; COMMIT", ["CREATE FUNCTION f(begin atomic) RETURNS int", "COMMIT"]),
    ("BEGIN ATOMIC; COMMIT", ["BEGIN ATOMIC", "COMMIT"]),
    ("SELECT atomic; SELECT CASE 1 WHEN 1 THEN 1 END; X", ["SELECT atomic", "SELECT CASE 1 WHEN 1 THEN 1 END", "X"]),
    (RULE + "; COMMIT", [RULE, "COMMIT"]),
    ("SELECT 1); COMMIT", ["SELECT 1)", "COMMIT"]),
    ("SELECT '(', \"(\", $$($$ /*(*/; COMMIT", ["SELECT '(', \"(\", $$($$", "COMMIT"]),
    ("SELECT 'never closed; SELECT 2", ["SELECT 'never closed; SELECT 2"]),
    ("SELECT E'never closed\\", ["SELECT E'never closed\\"]),
    ('SELECT "never closed; SELECT 2', ['SELECT "never closed; SELECT 2']),
    ("SELECT $x$never closed; SELECT 2", ["SELECT $x$never closed; SELECT 2"]),
    ("SELECT 1 /* never closed; /* */ SELECT 2", ["SELECT 1"]),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "expected"), SPLIT, ids=[sql for sql, _ in SPLIT])
def test_statements_end_where_postgresql_ends_them(sql: str, expected: list[str]) -> None:
    found = lexer.statements(sql)
    assert [statement.text for statement in found] == expected
    assert all(sql.startswith(statement.text, statement.start) for statement in found)


sql_like = st.lists(
    st.sampled_from(
        ["'", '"', "$$", "$a$", "$", "E'", "\\", "--", "/*", "*/", "\n", ";", "(", ")", "a", "E", "é", "1", " "]
    )
    | st.sampled_from(["BEGIN", "ATOMIC", "END", "CASE", "CREATE ", "FUNCTION ", "ON", "INDEX "])
).map("".join)


@given(st.text() | sql_like)
@example("\x00\ufeff\ud800")
def test_tokens_joined_are_the_text(sql: str) -> None:
    found = list(lexer.tokens(sql))
    assert "".join(token.text for token in found) == sql
    assert all(sql.startswith(token.text, token.start) for token in found)


@given(st.text() | sql_like)
def test_statements_keep_all_that_is_no_comment(sql: str) -> None:
    seen = [token.symbol for token in lexer.tokens(sql) if token.kind not in {"space", "comment"}]
    kept = [symbol for statement in lexer.statements(sql) for symbol in statement.symbols]
    assert [symbol for symbol in kept if symbol != ";"] == [symbol for symbol in seen if symbol != ";"]
    for statement in lexer.statements(sql):
        assert statement.symbols
        lexer.concurrent_index(statement)
        lexer.may_run_twice(statement)


closed = st.sampled_from(
    [
        "SELECT 1",
        "'a;'",
        r"E'\';'",
        '";"',
        "$$;$$",
        "$t$;$$;$t$",
        "(;)",
        "/*;/*;*/*/ x",
        "--;\ny",
        "a$b$",
        "f('(')",
        ATOMIC,
        PLPGSQL,
    ]
)


@given(st.lists(closed, max_size=6), st.sampled_from([";", " ;\n", "; -- ;\n", ";/*;*/", ";;"]))
def test_closed_pieces_are_told_apart_again(pieces: list[str], between: str) -> None:
    assert len(lexer.statements(between.join(pieces))) == len(pieces)


@pytest.mark.parametrize(
    "sql",
    [
        "E'" + "\\'\n'" * 50_000,
        "-" * 100_000,
        "E'a'" + "--" * 50_000,
        "/*" * 50_000,
        "$a$b" * 20_000,
        "E'a'\n--" * 20_000,
    ],
    ids=lambda sql: sql[:8],
)
def test_no_text_takes_long(sql: str) -> None:
    began = time.process_time()
    lexer.statements(sql)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "begin work",
        "COMMIT",
        "END",
        "ROLLBACK TO a",
        "ABORT",
        "SAVEPOINT a",
        "RELEASE a",
        "start transaction",
        "PREPARE TRANSACTION 'a'",
    ],
)
def test_transaction_control_is_seen(sql: str) -> None:
    assert lexer.controls_transaction(lexer.statements(f"/* a */ {sql}")[0])


@pytest.mark.parametrize(
    "sql",
    [
        PLPGSQL,
        ATOMIC,
        "SELECT 'COMMIT'",
        '"COMMIT"',
        "PREPARE a AS SELECT 1",
        "SET TRANSACTION READ WRITE",
        "beg\u0131n",
    ],
)
def test_what_only_looks_like_transaction_control_is_none(sql: str) -> None:
    assert not lexer.controls_transaction(lexer.statements(sql)[0])


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY a ON b (c)", ConcurrentIndex("a", "B")),
        ("create unique index concurrently If Not Exists A on only x.b using btree (c)", ConcurrentIndex("a", "X.B")),
        ('CREATE INDEX CONCURRENTLY "A""b" ON "X"."on" (c)', ConcurrentIndex('A"b', '"X"."on"')),
        ("CREATE INDEX CONCURRENTLY ON b (c)", ConcurrentIndex("", "B")),
        ("CREATE INDEX CONCURRENTLY a", ConcurrentIndex("a", "")),
        ("CREATE INDEX CONCURRENTLY", ConcurrentIndex("", "")),
        ("CREATE INDEX a ON b (c)", None),
        ("DROP INDEX CONCURRENTLY a", None),
        ("SELECT 'CREATE INDEX CONCURRENTLY a ON b'", None),
    ],
)
def test_the_index_that_is_made_concurrently_is_known(sql: str, expected: ConcurrentIndex | None) -> None:
    assert lexer.concurrent_index(lexer.statements(sql)[0]) == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY a ON b (c)", True),
        ("DROP INDEX CONCURRENTLY IF EXISTS a", True),
        ("ALTER TYPE a ADD VALUE IF NOT EXISTS 'b'", True),
        ("VACUUM a", True),
        ("REINDEX TABLE CONCURRENTLY a", True),
        ("DROP INDEX CONCURRENTLY a", False),
        ("ALTER TYPE a ADD VALUE 'IF NOT EXISTS'", False),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", False),
        ("CREATE DATABASE a", False),
        ("ALTER TABLE t ADD CHECK (IF) NOT EXISTS", False),
    ],
)
def test_what_may_run_twice_is_known(sql: str, expected: bool) -> None:
    assert lexer.may_run_twice(lexer.statements(sql)[0]) is expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [("COPY a FROM STDIN", True), ("copy a to stdout", True), ("COPY a FROM '/b'", False), ("SELECT stdin", False)],
)
def test_a_copy_from_us_is_known(sql: str, expected: bool) -> None:
    assert lexer.copies_to_client(lexer.statements(sql)[0]) is expected


@pytest.mark.parametrize(("position", "line"), [(0, 1), (1, 1), (2, 2), (3, 3), (99, 3)])
def test_lines_are_counted_from_one(position: int, line: int) -> None:
    assert lexer.line_of("a\n\nb", position) == line
