"""What a snapshot keeps beyond a dump: the SQL is one for both engines, so one of them shows it."""

from __future__ import annotations

import re

import pytest

from tests.checkout import Checkout

pytestmark = pytest.mark.slow
OUTSIDE = """
CREATE ROLE "read ers"; CREATE ROLE app LOGIN PASSWORD 'x' IN ROLE "read ers"; CREATE ROLE auditor;
GRANT CREATE ON SCHEMA public TO app;
CREATE TABLE owned AS SELECT 2 AS two; ALTER TABLE owned OWNER TO app; GRANT SELECT ON owned TO auditor;
ALTER DATABASE :"DBNAME" SET search_path TO "$user", 'My Schema', public;
ALTER ROLE app SET statement_timeout TO '7s';
ALTER DATABASE :"DBNAME" OWNER TO app;
GRANT CONNECT ON DATABASE :"DBNAME" TO auditor;
CREATE ROLE writer; GRANT INSERT ON owned TO writer;
CREATE ROLE one; CREATE ROLE another; CREATE POLICY two ON owned TO one, another;
CREATE ROLE keeper; SELECT lo_from_bytea(4711, 'x'); ALTER LARGE OBJECT 4711 OWNER TO keeper;
"""
BY_SUPERUSER = """
CREATE SUBSCRIPTION feed CONNECTION 'port=1' PUBLICATION news WITH (connect = false);
ALTER DATABASE :"DBNAME" SET default_transaction_read_only TO on; -- which the toolkit's own sessions are not
\\c template1
CREATE TABLE of_template1 AS SELECT 1 AS one;
"""
STATE = r"""
\pset format unaligned
\pset tuples_only on
SELECT two, tableowner FROM owned, pg_tables WHERE tablename = 'owned';
SELECT relacl FROM pg_class WHERE relname = 'owned';
SELECT polroles::regrole[] FROM pg_policy;
SELECT lomowner::regrole FROM pg_largeobject_metadata;
SELECT setconfig FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase;
SELECT rolcanlogin, rolconfig, pg_has_role('app', 'read ers', 'member') FROM pg_roles WHERE rolname = 'app';
SELECT datacl::text LIKE '%auditor=c%', datdba::regrole FROM pg_database WHERE datname = current_database();
"""
WITHOUT_ROLES = """
SELECT 'of ' || datdba::regrole FROM pg_database WHERE datname = current_database();
ALTER DATABASE :"DBNAME" OWNER TO CURRENT_USER;
DROP ROLE app; DROP ROLE auditor; DROP ROLE "read ers";
DROP ROLE writer; DROP ROLE one; DROP ROLE another; DROP ROLE keeper;
SELECT * FROM of_template1
"""


def test_a_snapshot_brings_back_what_a_dump_leaves_out(stack: Checkout) -> None:
    stack.inv("db.shell", stdin=OUTSIDE)
    stack.superuser(BY_SUPERUSER)
    before = stack.inv("db.shell", stdin=STATE).out
    assert "2|app" in before
    stack.inv("db.snapshot", "whole")
    assert "settings and grants of the database itself are removed" in stack.inv("db.reset", "--yes").out
    gone = stack.inv("db.shell", stdin=WITHOUT_ROLES, check=False)
    assert gone.out.count("DROP ROLE") == 7
    assert "of app" in gone.out  # an emptied database is still whose it was
    assert 'relation "of_template1" does not exist' in gone.err  # empty means empty
    said = stack.inv("db.restore", "whole", "--yes").out
    assert said.count("subscription feed is removed, its slot on the publisher remains") == 1
    assert "remains as" not in said
    assert "role app is created again without its password: ALTER ROLE" in said
    owner = stack.setting("POSTGRES_USER")
    assert re.search(rf"{owner} now owns what app, keeper,.* postgres owned", said)
    before = (
        before.replace("2|app", f"2|{owner}").replace("/app", f"/{owner}").replace("app=arwdDxt", f"{owner}=arwdDxt")
    )
    before = before.replace("\nkeeper\n", f"\n{owner}\n").replace("t|app\n", f"t|{owner}\n")
    assert stack.inv("db.shell", stdin=STATE).out == before
    _restore_a_dump_alone(stack, before)
    stack.inv("db.reset", "--yes")
    stack.inv("db.shell", stdin=WITHOUT_ROLES, check=False)
    stack.superuser("\\c template1\nDROP TABLE of_template1")


def _restore_a_dump_alone(stack: Checkout, before: str) -> None:
    (stack.state / "snapshots" / "whole.outside.json").unlink()  # as an old snapshot is
    stack.inv("db.reset", "--yes")
    stack.inv("db.shell", stdin=WITHOUT_ROLES, check=False)
    owner = stack.setting("POSTGRES_USER")
    stack.superuser(f"ALTER ROLE {owner} SUPERUSER")
    said = stack.inv("db.restore", "whole", "--yes").out
    stack.superuser(f"ALTER ROLE {owner} NOSUPERUSER")
    assert (
        f"{owner} is a superuser of this server: triggers, rules and functions that it uses have those rights" in said
    )
    assert "the snapshot is only a dump" in said
    assert "subscription feed is removed" in said
    assert "role auditor is created without login and memberships" in said
    assert stack.inv("db.shell", stdin=STATE).out.splitlines()[:5] == before.splitlines()[:5]
