"""A dump that somebody else made is data: whatever it tries, no program runs on the host, and nobody gains a right."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pg8000.native
import pytest

from tests.checkout import Checkout, docker
from tests.stack.test_roles import as_the_api

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
CREATE FUNCTION anything(q text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN EXECUTE q; END $$;
"""
BESIDE = {
    "CREATE ROLE mallory SUPERUSER LOGIN": ["mallory", "it was SUPERUSER, and is not"],
    "GRANT pg_execute_server_program TO mallory": ["it is no member of pg_execute_server_program"],
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


def made_by(stack: Checkout) -> list[str]:
    """Return the files that an attack has made, on the machine of the database server."""
    look = "ls /tmp | grep ^attack- || true"
    if stack.engine == "compose":
        return docker("exec", f"{stack.name}-postgres", "sh", "-c", look).split()
    return [path.name for path in Path("/tmp").glob("attack-*")]


def hostile(stack: Checkout, name: str) -> str:
    """Make a snapshot whose comments are statements of an attacker, and whose companion file is as bad."""
    stack.inv("db.shell", stdin=TRAPS + DEFINER)
    stack.inv("db.snapshot", name)
    path, mark = stack.state / "snapshots" / f"{name}.dump", f"/tmp/attack-{stack.name}"
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
    assert f"not run, for {stack.setting('DATABASE_USER')} was here before" in said
    assert "public.anything(q text) runs with the rights of its caller now" in said
    with contextlib.closing(as_the_api(stack)) as connection, pytest.raises(pg8000.DatabaseError) as refused:
        connection.run("SELECT public.anything('CREATE ROLE pwned')")
    assert refused.value.args[0]["C"] == "42501"
    owner = stack.setting("POSTGRES_USER")
    found = stack.inv("db.shell", stdin=LEFT).out.splitlines()
    assert [line for line in found if line.startswith(BAD + GOOD)] == [f"owner {owner}", f"seven 7{owner}"]
    stack.inv("db.shell", stdin="DROP ROLE mallory; DROP FUNCTION anything(text)")
    assert stack.ask("/health/db")[0] == 200


def test_plain_sql_is_never_given_to_psql(stack: Checkout) -> None:
    mark = f"/tmp/attack-{stack.name}"
    (stack.state / "snapshots" / "plain.dump").write_text(
        f"--\n-- PostgreSQL database dump\n--\n\\! touch {mark}-plain\n"
    )
    said = stack.inv("db.restore", "plain", "--yes", check=False)
    assert (said.code, made_by(stack)) == (1, [])
