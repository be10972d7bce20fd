"""Who may do what in the database: read from the server itself, on both engines."""

from __future__ import annotations

from tests.checkout import Checkout

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
    assert stack.superuser(RIGHTS.format(user)).strip() == ("t|t|t|t|t|t" if image else "f|t|t|f|f|t")
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
