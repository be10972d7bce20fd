"""Who may do what in the database: read from the server itself, on both engines."""

from __future__ import annotations

import contextlib

import pg8000.native
import pytest

from tests.checkout import Checkout, eventually

RIGHTS = """
SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, datdba = r.oid
FROM pg_roles AS r, pg_database WHERE rolname = '{}' AND datname = current_database();
"""
FROM_BEFORE = """
ALTER ROLE {} SUPERUSER; CREATE ROLE older NOLOGIN; CREATE TABLE olden AS SELECT 1 AS one;
ALTER TABLE olden OWNER TO older;
"""


def test_the_owner_is_no_superuser_where_the_server_is_a_process_here(stack: Checkout) -> None:
    user = stack.setting("POSTGRES_USER")
    image = stack.engine == "compose"  # whose superuser it is, which nobody can change
    superuser, *others, owner = stack.superuser(RIGHTS.format(user)).strip().split("|")
    assert (superuser, owner) == ("t" if image else "f", "t")
    assert image or others == ["t", "t", "f", "f"]
    said = stack.inv("db.shell", stdin="COPY (SELECT 1) TO PROGRAM 'true'; SELECT * FROM pg_authid", check=False).err
    assert (said.count("permission denied") == 2) != image


def test_a_data_folder_from_before_follows_and_loses_nothing(stack: Checkout) -> None:
    user = stack.setting("POSTGRES_USER")
    if stack.engine == "compose":
        return
    stack.superuser(FROM_BEFORE.format(user))
    assert f"{user} is no superuser any more" in stack.inv("restart", "postgres").out
    assert stack.superuser(RIGHTS.format(user)).strip() == "f|t|t|f|f|t"
    assert stack.inv("db.shell", stdin="SELECT one FROM olden; DROP TABLE olden").out.split()[2] == "1"
    assert "is up" in stack.inv("up").out


CONNECTED = """
SELECT DISTINCT usename FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'stackhand%';
"""
DENIED = (
    "CREATE TABLE mine (n int)",
    "DROP TABLE history_sample",
    "ALTER TABLE history_sample ADD COLUMN more int",
    "TRUNCATE history_sample",
    "UPDATE schema_migration SET sha256 = 'x'",
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


def test_the_api_reads_and_writes_rows_and_nothing_else(stack: Checkout) -> None:
    user = stack.setting("DATABASE_USER")
    assert stack.superuser(RIGHTS.format(user)).strip() == "f|f|f|f|f|f"
    eventually(lambda: stack.superuser(CONNECTED).split() == [user], "the API has connected, as that role alone")
    with contextlib.closing(as_the_api(stack)) as connection:
        assert connection.run("SELECT count(*) > 0 FROM schema_migration") == [[True]]
        for statement in DENIED:
            with pytest.raises(pg8000.DatabaseError) as refused:
                connection.run(statement.format(owner=stack.setting("POSTGRES_USER")))
            assert refused.value.args[0]["C"] == "42501", statement
    assert stack.ask("/health/db")[0] == 200
    assert stack.ask("/api/incidents")[0] == 200
