"""A database put in the place of the present one: made whole beside it, then renamed in one transaction.

What a dump refers to and this server does not have is found out by restoring the schema alone first: the server names
it. Roles are made, as they were where that is known; the rest is reported, for there is no half restore.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand import outside
from stackhand.failure import Failure
from stackhand.outside import Outside

if TYPE_CHECKING:
    from stackhand.database import Database

LONGEST_NAME = 63
"""In bytes: NAMEDATALEN of PostgreSQL, less its NUL."""
SWAPS = 5
"""How often to try to rename: a service that reconnects at that moment is in the way."""
ALONE = "the snapshot is a dump alone: settings of the database itself, and what its roles had, are not in it"
FIRST_LINE = "psql:<stdin>:"
"""Of what psql reports of a statement; the line's number follows."""
MISSING = re.compile(r"(role|tablespace|extension) \"(.*)\" (?:does not exist|is not available)$")


def replace(database: Database, source: Path | None) -> list[str]:
    """Put the database of a snapshot, or an empty one, in the place of the present one.

    Returns:
        A sentence on each thing that is not as it was.

    Raises:
        Failure: it cannot be made; the present one is untouched then.
    """
    draft, aside = spare_names(database.name)
    present = database.outside()
    known = outside.read(source) if source else None
    found = known or Outside(locale=present.locale)
    database.sql(_drop(aside))
    notes = [ALONE] if source and known is None else []
    notes += _create(database, draft, found.locale, present.locale)
    made: list[str] = []
    try:
        if source:
            missing = _missing(database, draft, source, found)
            _refuse_without(missing["extension"], source)
            for name in _groups_first(missing["role"], found, _roles(database)):
                notes.append(_make_role(database, name, found))
                made.append(name)
            _create(database, draft, found.locale, present.locale)
            notes += _fill(database, draft, source, found, tablespaces=not missing["tablespace"])
        _swap(database, draft, aside)
    except Failure:
        database.attempt_sql(_drop(draft), *(f"DROP ROLE {_quoted(name)}" for name in reversed(made)))
        raise
    return [*notes, *_versions(found, database.outside()), *_old(database, aside)]


def spare_names(name: str) -> tuple[str, str]:
    """Return the names of the database that is to take a place, and of the one that leaves it: neither is its name.

    What has such a name is removed, so it is none that a user would give. PostgreSQL cuts a name after 63 bytes, so
    that a longer one of our making could be any other.
    """
    beginning = name.encode()[: LONGEST_NAME - len("_stackhand_new")].decode("utf-8", "ignore")
    first, second, *_ = (each for kind in ("new", "old", "was") if (each := f"{beginning}_stackhand_{kind}") != name)
    return first, second


def _create(database: Database, draft: str, locale: str, fallback: str) -> list[str]:
    """Make an empty database: of template0, for what somebody put into template1 is in no dump's way there."""

    def statements(words: str) -> tuple[str, ...]:
        return (
            _drop(draft),
            f"CREATE DATABASE {_quoted(draft)} OWNER {_quoted(database.owner)} TEMPLATE template0 {words}",
        )

    try:
        database.sql(*statements(locale))
    except Failure:
        if locale == fallback:
            raise
        database.sql(*statements(fallback))
        return [f"this server does not have the snapshot's locale ({locale}): it is {fallback} now"]
    return []


def _missing(database: Database, draft: str, source: Path, found: Outside) -> dict[str, list[str]]:
    """Return the roles, tablespaces and extensions that a snapshot refers to and this server does not have."""
    database.attempt_sql(f"ALTER DATABASE {_quoted(draft)} SET lc_messages TO 'C'")  # the messages that `MISSING` knows
    with source.open("rb") as file:
        words = ("--schema-only", "--no-subscriptions", f"--dbname={draft}")
        errors = database.attempt("pg_restore", *words, database=draft, source=file)
    errors += _about(database, draft, found.database)
    names: dict[str, list[str]] = {"role": [], "tablespace": [], "extension": []}
    for kind, name in (each.groups() for line in errors if (each := MISSING.search(line))):
        if name not in names[kind]:
            names[kind].append(name)
    return names


def _refuse_without(extensions: Sequence[str], source: Path) -> None:
    if extensions:
        raise Failure(
            f"The snapshot {source.stem} needs what this server does not have: {', '.join(extensions)}.",
            evidence=["the database is as it was"],
            next="run a PostgreSQL that has it (an image, with ./inv up --engine compose), then repeat the command",
        )


def _roles(database: Database) -> set[str]:
    return set(database.sql("SELECT rolname FROM pg_roles").splitlines())


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
        database.sql(f"CREATE ROLE {_quoted(name)}")
        return f"role {name} is made without login and memberships"
    database.sql(known.statements[0])
    refused = [line for each in known.statements[1:] for line in database.attempt_sql(each)]
    login = f" without its password: ALTER ROLE {_quoted(name)} PASSWORD '...' sets one" if known.login else ""
    return "; ".join([f"role {name} is made again{login}", *refused])


def _fill(database: Database, draft: str, source: Path, found: Outside, *, tablespaces: bool) -> list[str]:
    flags = ("--exit-on-error", *(() if tablespaces else ("--no-tablespaces",)))
    with source.open("rb") as file:
        database.run("pg_restore", *flags, f"--dbname={draft}", database=draft, source=file)
    notes = [] if tablespaces else ["its tablespaces are not here: all of it is in the default one"]
    refused = [line for line in _about(database, draft, found.database) if line.startswith(FIRST_LINE)]
    return [*notes, *(f"not restored: {line.removeprefix(FIRST_LINE)}" for line in refused)]


def _about(database: Database, draft: str, statements: Sequence[str]) -> list[str]:
    """Run statements about a database in itself, for psql puts in its name; return what was refused."""
    with tempfile.TemporaryFile() as script:
        script.write(f"{chr(10).join(f'{each};' for each in statements)}\n".encode())
        script.seek(0)
        return database.attempt("psql", "-Xq", "-f", "-", database=draft, source=script)


def _swap(database: Database, draft: str, aside: str) -> None:
    """Rename both in one transaction, once nobody is connected to either."""
    names = f"{_literal(database.name)}, {_literal(draft)}"
    leave = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({names})"  # noqa: S608 - quoted
    renames = "; ".join(
        f"ALTER DATABASE {_quoted(old)} RENAME TO {_quoted(new)}"
        for old, new in ((database.name, aside), (draft, database.name))
    )
    for attempt in range(SWAPS):
        try:
            database.sql(leave, renames)
        except Failure:
            if attempt == SWAPS - 1:
                raise
        else:
            return


def _old(database: Database, aside: str) -> list[str]:
    """Remove the database that was replaced; what keeps it (a subscription, a slot) does not undo what is done."""
    return [f"the database before is left as {aside}: {line}" for line in database.attempt_sql(_drop(aside))]


def _versions(found: Outside, present: Outside) -> list[str]:
    return [
        f"extension {name} is version {present.extensions[name]} here, and was {version}"
        for name, version in found.extensions.items()
        if present.extensions.get(name, version) != version
    ]


def _drop(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)"


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _literal(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))
