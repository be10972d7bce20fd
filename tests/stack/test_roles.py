"""Who may do what in the database: read from the server itself, on both engines."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pg8000.native
import pytest

from tests.checkout import Checkout, docker, eventually

RIGHTS = """
SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, datdba = r.oid
FROM pg_roles AS r, pg_database WHERE rolname = '{}' AND datname = current_database();
"""


def test_the_owner_is_no_superuser(stack: Checkout) -> None:
    user = stack.setting("POSTGRES_USER")
    assert stack.superuser(RIGHTS.format(user)).strip() == "f|t|t|f|f|t"
    said = stack.inv("db.shell", stdin="COPY (SELECT 1) TO PROGRAM 'true'; SELECT * FROM pg_authid", check=False).err
    assert said.count("permission denied") == 2


FROM_BEFORE = {
    "embedded": "ALTER ROLE {0} SUPERUSER;",
    "compose": """
CREATE ROLE helper SUPERUSER LOGIN;
\\c - helper
ALTER ROLE {0} RENAME TO newer; ALTER ROLE postgres RENAME TO {0}; ALTER ROLE {0} PASSWORD {1};
REASSIGN OWNED BY newer TO {0}; DROP OWNED BY newer; DROP ROLE newer;
\\c - {0}
DROP ROLE helper;
""",
}
"""Makes the role of the settings what it was: a superuser on embedded, and in containers the one that initdb made."""
OLDEN = """
CREATE ROLE older NOLOGIN; CREATE TABLE olden AS SELECT 1 AS one; ALTER TABLE olden OWNER TO older;
CREATE SCHEMA "Old"; CREATE TABLE "Old"."Table" (id serial, n int GENERATED ALWAYS AS IDENTITY);
CREATE VIEW "Old".v AS SELECT 1 AS one; CREATE MATERIALIZED VIEW "Old".m AS SELECT 1 AS one;
CREATE TYPE "Old".e AS ENUM ('a'); CREATE DOMAIN "Old".d AS int; CREATE TYPE "Old".c AS (a int);
CREATE FUNCTION "Old".f(a int, b "Old".e) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE "Old".p() LANGUAGE sql AS '';
CREATE AGGREGATE "Old".a(int) (SFUNC = int4pl, STYPE = int); CREATE STATISTICS "Old".s ON id, n FROM "Old"."Table";
CREATE SEQUENCE "Old".q; CREATE COLLATION "Old".co FROM "C"; CREATE PUBLICATION pub FOR TABLE "Old"."Table";
CREATE TEXT SEARCH CONFIGURATION "Old".t (COPY = simple); SELECT lo_from_bytea(4242, 'x');
CREATE OPERATOR "Old".+++ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
ALTER DEFAULT PRIVILEGES IN SCHEMA "Old" GRANT SELECT ON TABLES TO older; ALTER ROLE CURRENT_USER SET work_mem TO '5MB';
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
CREATE ROLE powerful IN ROLE pg_execute_server_program; CREATE ROLE indirect IN ROLE powerful;
CREATE ROLE forgotten SUPERUSER; CREATE FUNCTION leftover() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
ALTER FUNCTION leftover() OWNER TO forgotten;
CREATE DATABASE elsewhere;
"""
TRIGGER = """
CREATE FUNCTION et() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    COPY (SELECT 1) TO PROGRAM 'cat >/tmp/attack-{}-event';
EXCEPTION WHEN insufficient_privilege THEN NULL;
END $$;
CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION et();
ALTER EVENT TRIGGER et ENABLE {};
"""
"""Runs a program when a superuser changes a schema, also in a session that says it replicates."""
POWERS = "SELECT rolname FROM pg_roles WHERE rolname IN ('powerful', 'indirect') AND pg_has_role('{}', oid, 'MEMBER');"
FORGET = "DROP ROLE powerful; DROP ROLE indirect; DROP FUNCTION leftover(); DROP ROLE forgotten;"
ELSEWHERE = "\\c elsewhere\nCREATE TABLE far AS SELECT 1 AS one;"
STAYS = "SELECT evtname, evtenabled FROM pg_event_trigger WHERE evtowner = 10;"
DISARMED = "DROP EVENT TRIGGER et; DROP FUNCTION et();"
USED = r"""
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only on
SELECT one FROM olden; DROP TABLE olden; SHOW work_mem;
CREATE TABLE "Old".newest (); SELECT relacl FROM pg_class WHERE relname = 'newest';
SELECT defaclacl FROM pg_default_acl WHERE defaclnamespace = 0 AND defaclrole = CURRENT_USER::regrole;
ALTER DEFAULT PRIVILEGES IN SCHEMA "Old" REVOKE SELECT ON TABLES FROM older;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON ROUTINES TO PUBLIC;
SELECT lo_unlink(4242); DROP PUBLICATION pub; DROP SCHEMA "Old" CASCADE; DROP ROLE older;
ALTER ROLE CURRENT_USER RESET work_mem;
\c elsewhere
DROP TABLE far;
\c postgres
DROP DATABASE elsewhere;
"""
LEFT = ("superusers besides the server's own: forgotten", "run with a superuser's rights: public.leftover()")
LEFT_BEHIND = """
SELECT 'class ' || oid::regclass FROM pg_class WHERE relnamespace = {0} AND relowner = 10
UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE typnamespace = {0} AND typowner = 10
UNION ALL SELECT 'routine ' || oid::regprocedure FROM pg_proc WHERE pronamespace = {0} AND proowner = 10
UNION ALL SELECT 'operator ' || oid::regoperator FROM pg_operator WHERE oprnamespace = {0} AND oprowner = 10
UNION ALL SELECT 'collation ' || collname FROM pg_collation WHERE collnamespace = {0} AND collowner = 10
UNION ALL SELECT 'configuration ' || cfgname FROM pg_ts_config WHERE cfgnamespace = {0} AND cfgowner = 10
UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxnamespace = {0} AND stxowner = 10;
"""


def made_by(stack: Checkout) -> list[str]:
    """Return the files that an attack has made, on the machine of the database server."""
    if stack.engine == "compose":
        return docker("exec", f"{stack.name}-postgres", "sh", "-c", "ls /tmp | grep ^attack- || true").split()
    return [path.name for path in Path("/tmp").glob(f"attack-{stack.name}-*")]


def test_data_from_before_follows_and_loses_nothing(stack: Checkout) -> None:
    user = stack.setting("POSTGRES_USER")
    stack.superuser(FROM_BEFORE[stack.engine].format(user, pg8000.native.literal(stack.setting("POSTGRES_PASSWORD"))))
    triggers = [TRIGGER.format(stack.name, each) for each in ("ALWAYS", "REPLICA")]
    stack.inv("db.shell", stdin=f"{OLDEN}{triggers[0]}{ELSEWHERE}{triggers[1]}")
    state = stack.state / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"login": "of before"}))
    told = [f"{user} is a superuser of it", *LEFT]
    eventually(
        lambda: all(map(stack.inv("doctor", check=False).out.__contains__, told)), "doctor tells of it, without hurry"
    )
    said = stack.inv("restart", "postgres").out
    assert f"{user} is no superuser any more" in said
    assert all(map(said.__contains__, LEFT))
    assert made_by(stack) == []
    assert stack.superuser(RIGHTS.format(user)).strip() == "f|t|t|f|f|t"
    assert stack.superuser(STAYS) == ("et|O\n" if stack.engine == "compose" else "")
    assert stack.superuser(DISARMED + POWERS.format(user) + FORGET) == ""
    if stack.engine == "compose":
        assert stack.superuser(LEFT_BEHIND.format("'\"Old\"'::regnamespace")) == ""
        assert stack.superuser("SELECT rolname, rolpassword IS NULL FROM pg_authid WHERE rolsuper") == "postgres|t\n"
    found = stack.inv("db.shell", stdin=USED).out.splitlines()
    assert [line for line in found if line in {"1", "5MB"}] == ["1", "5MB", "1"]
    assert f"{{older=r/{user},{user}=arwdDxt/{user}}}" in found or f"{{{user}=arwdDxt/{user},older=r/{user}}}" in found
    assert f"{{{user}=X/{user}}}" in found
    up = stack.inv("up").out
    assert "is already up" in up, up


CONNECTED = """
SELECT DISTINCT usename FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'stackhand%';
"""
DENIED = (
    "CREATE TABLE mine (n int)",
    "CREATE TABLE stackhand_status.mine (n int)",
    "DROP TABLE stackhand_status.history_sample",
    "ALTER TABLE stackhand_status.history_sample ADD COLUMN more int",
    "TRUNCATE stackhand_status.history_sample",
    "UPDATE stackhand_status.schema_migration SET sha256 = 'x'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT rolpassword FROM pg_authid",
    "CREATE ROLE mine",
    "SET ROLE {owner}",
)


def as_the_api(stack: Checkout) -> pg8000.native.Connection:
    return pg8000.native.Connection(
        stack.setting("DATABASE_USER"),
        host="127.0.0.1",
        port=stack.ports["POSTGRES_PORT"],
        database=stack.setting("POSTGRES_DB"),
        password=stack.setting("DATABASE_PASSWORD"),
        ssl_context=False,
    )


def test_whoever_takes_over_the_api_finds_no_password_of_the_owner(stack: Checkout) -> None:
    environment = stack.inv("shell", "api", stdin="env").out
    assert stack.setting("DATABASE_PASSWORD") in environment
    assert stack.setting("POSTGRES_PASSWORD") not in environment
    assert "MIGRATION_DATABASE" not in environment
    assert stack.services()["migrate"]["state"] == "done"


def test_the_api_reads_and_writes_rows_and_nothing_else(stack: Checkout) -> None:
    user = stack.setting("DATABASE_USER")
    assert stack.superuser(RIGHTS.format(user)).strip() == "f|f|f|f|f|f"
    eventually(lambda: stack.superuser(CONNECTED).split() == [user], "the API has connected, as that role alone")
    with contextlib.closing(as_the_api(stack)) as connection:
        assert connection.run("SELECT count(*) > 0 FROM stackhand_status.schema_migration") == [[True]]
        for statement in DENIED:
            with pytest.raises(pg8000.DatabaseError) as refused:
                connection.run(statement.format(owner=stack.setting("POSTGRES_USER")))
            assert refused.value.args[0]["C"] == "42501", statement
    assert stack.ask("/health/db")[0] == 200
    assert stack.ask("/api/incidents")[0] == 200
