"""What a snapshot refers to and this server does not have: it is looked for in a draft, and roles are made."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.failure import Failure
from stackhand.outside import Outside

if TYPE_CHECKING:
    from stackhand.database import Database

MISSING = re.compile(r"(role|tablespace|extension) \"(.*)\" (?:does not exist|is not available)$")


def look(database: Database, draft: str, source: Path, found: Outside) -> dict[str, list[str]]:
    """Return what a snapshot refers to and this server does not have: all, or once that is there it names the rest."""
    database.attempt_sql(f"ALTER DATABASE {quoted(draft)} SET lc_messages TO 'C'")  # the messages that `MISSING` knows
    with source.open("rb") as file:
        words = ("--schema-only", "--no-subscriptions", f"--dbname={draft}")
        errors = database.attempt("pg_restore", *words, database=draft, source=file)
    errors += about(database, draft, [*found.ownership, *found.database])
    names: dict[str, list[str]] = {"role": [], "tablespace": [], "extension": []}
    for kind, name in (each.groups() for line in errors if (each := MISSING.search(line))):
        if name not in names[kind]:
            names[kind].append(name)
    return names


def refuse_without(extensions: Sequence[str], source: Path) -> None:
    """Refuse to restore a snapshot without its extensions.

    Raises:
        Failure: there are such.
    """
    if extensions:
        raise Failure(
            f"The snapshot {source.stem} needs what this server does not have: {', '.join(extensions)}.",
            evidence=["the database is as it was"],
            next="run a PostgreSQL that has it (an image, with ./inv up --engine compose), then repeat the command",
        )


def make_roles(database: Database, names: Iterable[str], found: Outside, made: list[str]) -> list[str]:
    """Make those roles that are not there, and return a sentence on each; `made` gets them."""
    notes = []
    present = set(database.sql("SELECT rolname FROM pg_roles").splitlines())
    for name in _groups_first((each for each in names if each not in present), found, present):
        made.append(name)
        notes.append(_make_role(database, name, found))
    return notes


def _groups_first(names: Iterable[str], found: Outside, present: Container[str]) -> list[str]:
    """Return the roles to make, each after those that it is a member of."""
    ordered: list[str] = []
    for name in names:
        groups = [each for each in found.roles[name].groups if each not in present] if name in found.roles else []
        ordered += [each for each in (*_groups_first(groups, found, present), name) if each not in ordered]
    return ordered


def _make_role(database: Database, name: str, found: Outside) -> str:
    known = found.roles.get(name)
    if known is None:
        database.sql(f"CREATE ROLE {quoted(name)}")
        return f"role {name} is made without login and memberships"
    database.sql(known.statements[0])
    refused = [line for each in known.statements[1:] for line in database.attempt_sql(each)]
    login = f" without its password: ALTER ROLE {quoted(name)} PASSWORD '...' sets one" if known.login else ""
    return "; ".join([f"role {name} is made again{login}", *refused])


def about(database: Database, draft: str, statements: Sequence[str]) -> list[str]:
    """Run statements about a database in itself, for psql puts in its name; return what was refused."""
    with tempfile.TemporaryFile() as script:
        script.write(f"{chr(10).join(f'{each};' for each in statements)}\n".encode())
        script.seek(0)
        return database.attempt("psql", "-Xq", "-f", "-", database=draft, source=script)


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'{}'".format(text.replace("'", "''"))
