"""A dump that somebody else made is data: whatever it tries, no program runs on the host, and nobody gains a right."""

from __future__ import annotations

import contextlib
import json

import pg8000.native
import pytest

from tests.checkout import Checkout
from tests.stack.test_roles import as_the_api, made_by

ROOM = 150
ATTACKS = {
    "copy": "COPY (SELECT 1) TO PROGRAM 'touch {}-copy'",
    "session": "RESET SESSION AUTHORIZATION; COPY (SELECT 1) TO PROGRAM 'touch {}-session'",
    "role": "ALTER SYSTEM SET log_line_prefix = 'mine'",
    "power": "ALTER ROLE CURRENT_USER SUPERUSER CREATEROLE",
    "language": "CREATE FUNCTION public.f() RETURNS int LANGUAGE c AS 'libc.so.6', 'getpid'",
}
TRAPS = "".join(
    f"CREATE TABLE {name} AS SELECT 7 AS seven; COMMENT ON TABLE {name} IS '{'x' * ROOM}';" for name in ATTACKS
)
DEFINER = """
CREATE FUNCTION "any
thing"(q text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN EXECUTE q; END $$;
"""
LATER = """
CREATE SCHEMA later; SET search_path TO later;
CREATE FUNCTION run(what text, n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
    EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'touch {0}-' || what);
    RETURN n;
EXCEPTION WHEN insufficient_privilege THEN RETURN n;
END $$;
CREATE FUNCTION pure(what text, n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN later.run(what, n); END $$;
CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM later.run('trigger', 1); RETURN new; END $$;
CREATE TABLE used (n int, m int DEFAULT later.run('default', 1), CHECK (later.run('check', n) > 0));
CREATE INDEX ON used (later.pure('index', n));
CREATE TRIGGER fired BEFORE INSERT ON used FOR EACH ROW EXECUTE FUNCTION fired();
CREATE RULE ruled AS ON UPDATE TO used DO ALSO SELECT later.run('rule', 1);
CREATE VIEW seen AS SELECT later.run('view', n) AS n FROM used;
CREATE MATERIALIZED VIEW kept AS SELECT later.run('kept', 1) WITH NO DATA;
CREATE POLICY own ON used USING (later.run('policy', 1) > 0);
ALTER TABLE used ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE FUNCTION changed() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM later.run('event', 1); END $$;
"""
"""What a dump brings and runs only when somebody uses it: each tries to run a program, and hides that it may not."""
EVENT = "CREATE EVENT TRIGGER changed ON ddl_command_end EXECUTE FUNCTION later.changed()"
USE = """
\\set ON_ERROR_STOP 1
INSERT INTO later.used VALUES (1); UPDATE later.used SET n = 2; SELECT * FROM later.seen, later.used;
REFRESH MATERIALIZED VIEW later.kept; ANALYZE later.used; REINDEX TABLE later.used; VACUUM FULL later.used;
CREATE TABLE later.more (); DROP SCHEMA later CASCADE;
"""
BESIDE = {
    "CREATE ROLE mallory SUPERUSER LOGIN": ["mallory", "it was SUPERUSER and no longer is"],
    "GRANT pg_execute_server_program TO mallory": ["it is not a member of pg_execute_server_program"],
    "ALTER ROLE mallory SET session_preload_libraries TO 'evil'": ["not run: ALTER ROLE mallory SET"],
    "CREATE ROLE x; ALTER ROLE x SUPERUSER": ["some of its options are unknown"],
}
ABOUT = (
    "\\! touch {}-meta",
    "COPY (SELECT 1) TO PROGRAM 'touch {}-about'",
    'ALTER ROLE ALL IN DATABASE :"DBNAME" SET a TO b',
)
BAD, GOOD = ("left", "power", "prefix"), ("owner", "seven")
LEFT = r"""
\pset format unaligned
\pset tuples_only on
SELECT 'left ' || rolname FROM pg_roles WHERE rolname LIKE 'stackhand\_restore%';
SELECT 'power ' || rolname FROM pg_roles WHERE rolname = 'mallory' AND (
    rolsuper OR pg_has_role('mallory', 'pg_execute_server_program', 'member'));
SELECT 'prefix ' || setting FROM pg_settings WHERE name = 'log_line_prefix' AND setting LIKE '%mine%';
SELECT 'owner ' || datdba::regrole FROM pg_database WHERE datname = current_database();
SELECT 'seven ' || seven || tableowner FROM copy, pg_tables WHERE tablename = 'copy';
"""


def hostile(stack: Checkout, name: str) -> str:
    """Make a snapshot whose comments are statements of an attacker, and whose companion file is as bad."""
    mark = f"/tmp/attack-{stack.name}"
    stack.inv("db.shell", stdin=TRAPS + DEFINER + LATER.format(mark))
    stack.superuser(EVENT)
    stack.inv("db.snapshot", name)
    path = stack.state / "snapshots" / f"{name}.dump"
    content = path.read_bytes()
    for table, attack in ATTACKS.items():
        before = f"COMMENT ON TABLE public.{table} IS '{'x' * ROOM}';".encode()
        assert before in content
        content = content.replace(before, f"{attack.format(mark):{len(before) - 1}};".encode())
    path.write_bytes(content)
    beside = path.with_suffix(".outside.json")
    found = json.loads(beside.read_text())
    found["roles"]["mallory"] = {"login": True, "referred": True, "groups": [], "statements": list(BESIDE)}
    found["database"] += [each.format(mark) for each in ABOUT]
    api = stack.setting("DATABASE_USER")
    found["database"].append(f'ALTER ROLE "{api}" IN DATABASE :"DBNAME" SET search_path TO evil')
    found["locale"] += f"; COPY (SELECT 1) TO PROGRAM 'touch {mark}-locale'"
    beside.write_text(json.dumps(found))
    return mark


def test_a_hostile_dump_is_restored_and_gains_nothing(stack: Checkout) -> None:
    hostile(stack, "hostile")
    said = stack.inv("db.restore", "hostile", "--yes").out
    assert made_by(stack) == []
    for words in BESIDE.values():
        assert all(each in said for each in words), said
    for table, why in (
        ("copy", "to COPY to or from an external program"),
        ("role", "set parameter"),
        ("language", "language c"),
    ):
        assert f"not restored: COMMENT TABLE {table}" in said, said
        assert why in said
    assert f"not run, because {stack.setting('DATABASE_USER')} already existed" in said
    assert """thing"(q text) now runs with its caller's rights""" in said
    with contextlib.closing(as_the_api(stack)) as connection, pytest.raises(pg8000.DatabaseError) as refused:
        connection.run("""SELECT public."any\nthing"('CREATE ROLE pwned')""")
    assert refused.value.args[0]["C"] == "42501"
    owner = stack.setting("POSTGRES_USER")
    found = stack.inv("db.shell", stdin=LEFT).out.splitlines()
    assert [line for line in found if line.startswith(BAD + GOOD)] == [f"owner {owner}", f"seven 7{owner}"]
    stack.inv("db.shell", stdin='DROP ROLE mallory; DROP FUNCTION "any\nthing"(text)')
    assert stack.ask("/health/db")[0] == 200
    stack.inv("db.shell", stdin=USE)
    assert made_by(stack) == []


def test_plain_sql_is_never_given_to_psql(stack: Checkout) -> None:
    mark = f"/tmp/attack-{stack.name}"
    (stack.state / "snapshots" / "plain.dump").write_text(
        f"--\n-- PostgreSQL database dump\n--\n\\! touch {mark}-plain\n"
    )
    said = stack.inv("db.restore", "plain", "--yes", check=False)
    assert (said.code, made_by(stack)) == (1, [])
