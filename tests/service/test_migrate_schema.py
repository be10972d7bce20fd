"""The tables of the service in a schema of their own: beside those of a project, and moved there from public."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pg8000.exceptions import DatabaseError

from service.history import reports
from service.migration import migrate
from service.settings import Settings
from tests.service.history_kit import NOON, World, fails, write
from tests.service.migrating import query
from tests.service.test_history_retention import DAY, tidy

TABLES = """SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"""
RIGHTS = """
SELECT count(*) FILTER (WHERE has_table_privilege('{0}', oid, 'SELECT')), count(*) FROM pg_class
WHERE relkind IN ('r', 'v') AND relnamespace = '{1}'::regnamespace
"""
PROJECT = """
CREATE TABLE public.schema_migration (number int, name text, sha256 text); CREATE TABLE public.history_sample (n int)
"""
LATER = "CREATE TABLE public.later (n int)"


@pytest.fixture
def roles(settings: Settings) -> Iterator[Settings]:
    """Settings with a role that answers requests, beside the owner."""
    user = f"answers_{settings.database.name}"
    yield replace(settings, owner=settings.database, database=replace(settings.database, user=user))
    query(settings, f"DROP OWNED BY {user}; DROP ROLE {user}")


def of_before(settings: Settings) -> Settings:
    """Return the settings of release 0.1, whose connections have the search_path of their role."""
    assert settings.owner
    return replace(settings, owner=replace(settings.owner, schema=""), database=replace(settings.database, schema=""))


def test_tables_of_a_project_stay_its_own_whatever_their_names(roles: Settings) -> None:
    query(roles_owner := replace(roles, database=roles.owner or roles.database), PROJECT)
    migrate.apply(roles, migrate.read())
    query(roles_owner, LATER)
    assert query(roles_owner, TABLES) == [["history_sample"], ["later"], ["schema_migration"]]
    assert query(roles_owner, RIGHTS.format(roles.database.user, "public")) == [[0, 3]]
    assert query(roles_owner, RIGHTS.format(roles.database.user, roles.database.schema)) == [[6, 6]]
    world = World(roles)
    write(world, fails(0))
    assert len(world.incidents()) == 1


def test_tables_in_public_move_and_the_release_before_goes_on(roles: Settings) -> None:
    files = migrate.read()
    old, new = World(of_before(roles)), World(roles)
    migrate.apply(old.settings, files[:1])
    write(old, fails(-5 * DAY))
    before = old.stored(), old.incidents()

    pending = [each.name for each in migrate.status(roles, files) if each.state == "pending"]
    assert pending == [each.name for each in files[1:]]
    assert migrate.apply(roles, files) == pending
    assert (new.stored(), new.incidents()) == before
    assert query(old.settings, TABLES) == []
    with pytest.raises(DatabaseError, match="cannot update view"):
        old.run("UPDATE schema_migration SET sha256 = 'x'")

    write(old, fails(0))
    assert tidy(old, NOON + 60) == 6
    assert (new.stored(), len(new.incidents())) == (old.stored(), 2)
    assert [status for _, status in new.stored()] == ["fail"] * 3 + ["pass"] * 3
    (number,) = query(new.settings, "SELECT max(id) FROM history_incident")[0]
    old.run(f"UPDATE history_incident SET note = 'seen' WHERE id = {number} RETURNING id")
    assert reports.incidents(new.query, 1, None, NOON)["incidents"][0]["note"] == "seen"
    assert migrate.apply(old.settings, files[:1]) == []
    assert [each.state for each in migrate.status(old.settings, files[:1])] == ["applied"] * len(files)
    owner = replace(roles, database=roles.owner or roles.database)
    query(owner, LATER)
    assert migrate.apply(roles, files) == []
    query(owner, LATER.replace("later", "latest"))
    rights = query(owner, f"SELECT has_table_privilege('{roles.database.user}', 'public.latest', 'SELECT')")
    assert rights == [[False]]
