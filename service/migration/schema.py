"""The schema that the service has to itself in a database which may be somebody else's (docs/decisions/070-schema.md).

Every connection has it as its search_path, so no statement names it, and none can reach a table outside of it.
"""

from __future__ import annotations

from typing import Any

from service.migration.files import MigrationError

RECORD = "schema_migration"
FORMER = f"public.{RECORD}"
"""Where release 0.1 had its tables; 002_schema.sql moves them."""
_FIND = f"""
SELECT to_regclass('{RECORD}') IS NOT NULL, EXISTS (
    SELECT FROM pg_namespace
    WHERE nspname = current_setting('search_path') AND NOT has_schema_privilege(oid, 'USAGE')
)
"""  # noqa: S608 - constants of ours, as below
_FIND_FORMER = f"""
SELECT count(*) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE pg_class.oid = to_regclass('{FORMER}') AND relkind = 'r' AND attname IN ('number', 'name', 'sha256')
    AND has_table_privilege(pg_class.oid, 'SELECT')
"""  # noqa: S608
_IS_OURS = f"SELECT count(*) FROM {FORMER} WHERE CAST(number AS text) = '1' AND name = '001_history.sql'"  # noqa: S608


def create(connection: Any, name: str) -> None:
    """Create the schema unless it exists; the caller holds the lock.

    Args:
        connection: as the owner of the tables.
        name: of the schema; empty: the one that the role has by default.
    """
    # not IF NOT EXISTS, which takes the right to create one even where one exists
    if name and not connection.run("SELECT count(*) FROM pg_namespace WHERE nspname = :name", name=name)[0][0]:
        connection.run(f"CREATE SCHEMA {name}")


def record(connection: Any) -> str:
    """Return the table of the applied migrations: in the schema or, before 002_schema.sql, in public.

    Raises:
        MigrationError: the role may not use the schema (`no_privilege`).
    """
    found, closed = connection.run(_FIND)[0]
    if closed:
        raise MigrationError(
            "no_privilege",
            "the database's user may not use the schema of DATABASE_SCHEMA; grant it USAGE, or migrate as the owner",
        )
    if not found and connection.run(_FIND_FORMER)[0][0] == 3 and connection.run(_IS_OURS)[0][0]:  # noqa: PLR2004
        return FORMER
    return RECORD
