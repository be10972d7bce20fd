"""`./inv db.note`: what an operator has to say about an incident, for who reads the page."""

from __future__ import annotations

import tempfile

from stackhand import redaction
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.database import choice
from stackhand.database.postgres import PostgreSQL

LONGEST = 2000
"""Characters, as the database has it too."""
LARGEST_DIGITS = 18
SCHEMA = """
SELECT set_config('search_path', quote_ident(nspname), false) FROM pg_namespace WHERE (
    SELECT count(*) FROM pg_class
    WHERE relnamespace = pg_namespace.oid AND relname IN ('history_incident', 'schema_migration') AND relkind = 'r'
) = 2 ORDER BY nspname = 'public' LIMIT 1
"""
"""Finds the tables of the status service; without a row, there are none."""
SET = """
UPDATE history_incident SET note = :'text', updated_at = now() WHERE id = :'incident'
RETURNING component || ' of ' || to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI" UTC"');
"""
NEWEST = "SELECT 'no. ' || id || ': ' || component FROM history_incident ORDER BY started_at DESC LIMIT 5"


def note(incident: str, text: str, *, service: str | None) -> None:
    """Set the note on an incident; an empty one removes it.

    Args:
        incident: its number, as the page shows it.
        text: plain, for people.
        service: the database of the status service, where there are several.

    Raises:
        Failure: there is no such incident, or the text is too long.
    """
    text = redaction.current().content(text.strip())  # the page shows it to everybody
    if len(text) > LONGEST:
        raise Failure(f"A note may have {LONGEST} characters, not {len(text)}.", code=ExitCode.USAGE)
    database = choice.database("db.note", service)
    assert isinstance(database, PostgreSQL)  # noqa: S101 - the only kind that supports it
    if not database.sql(SCHEMA, database=database.name):
        raise Failure(
            f"The database {database.name} has no incidents: it has no table of the status service.",
            next="./inv db.migrate, or name the database of the status service with --service",
            code=ExitCode.USAGE,
        )
    is_number = incident.isascii() and incident.isdigit() and len(incident) <= LARGEST_DIGITS
    noted = _set(database, incident, text) if is_number else ""
    if not noted:
        known = database.sql(SCHEMA, NEWEST, database=database.name).splitlines()[1:]
        raise Failure(
            f"There is no incident {incident!r}.",
            evidence=known or ["there are no incidents"],
            next="find its number on the page or in /api/incidents",
            code=ExitCode.USAGE,
        )
    console.write(f"{'note added to' if text else 'note removed from'} {noted}; the page shows it within a minute")


def _set(database: PostgreSQL, incident: str, text: str) -> str:
    """Return which incident it was; psql quotes the values itself, for they may be anything."""
    values = ("-v", f"incident={incident}", "-v", f"text={text}")
    with tempfile.TemporaryFile() as script:
        script.write(f"{SCHEMA} \\gset\n{SET}".encode())
        script.seek(0)
        return database.run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", *values, source=script).strip()
