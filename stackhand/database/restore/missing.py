"""What a snapshot refers to and this server does not have: it is looked for in a draft, and roles are created."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.cli.failure import Failure
from stackhand.database.restore import vetted
from stackhand.database.restore.outside import Outside

if TYPE_CHECKING:
    from stackhand.database.postgres import PostgreSQL

MISSING = re.compile(r"(role|tablespace|extension) \"(.*)\" (?:does not exist|is not available)$")


FLAGS = ("--no-owner", "--no-subscriptions")
"""Who restores it owns it all until it is whole; a subscription would fetch with a slot that another uses."""


def look(own: PostgreSQL, source: Path, about_it: Sequence[str]) -> dict[str, list[str]]:
    """Return what a snapshot refers to and this server does not have: all, or once that is there it names the rest.

    Args:
        own: the empty draft, as the role that fills it.
        source: the dump.
        about_it: statements about the database itself.
    """
    with source.open("rb") as file:
        _, errors = own.attempt("pg_restore", "--schema-only", *FLAGS, f"--dbname={own.name}", source=file)
    errors += [line for statement in about_it for line in own.attempt_sql(here(own, statement), database=own.name)]
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
            f"The snapshot {source.stem} needs extensions that this server lacks: {', '.join(extensions)}.",
            evidence=["the database is unchanged"],
            next="run a PostgreSQL that has them (an image, with ./inv up --engine compose), then repeat the command",
        )


def make_roles(server: PostgreSQL, names: Iterable[str], outside: Outside, created: list[str]) -> list[str]:
    """Make those roles that are not there, and return a sentence on each; `made` gets them."""
    notes = []
    present = set(server.sql("SELECT rolname FROM pg_roles").splitlines())
    for name in _groups_first((each for each in names if each not in present), outside, present):
        created.append(name)
        notes.append(_make_role(server, name, outside, created))
    return notes


def _groups_first(names: Iterable[str], outside: Outside, present: Container[str]) -> list[str]:
    """Return the roles to make, each after those that it is a member of."""
    ordered: list[str] = []
    for name in names:
        groups = [each for each in outside.roles[name].groups if each not in present] if name in outside.roles else []
        ordered += [each for each in (*_groups_first(groups, outside, present), name) if each not in ordered]
    return ordered


def _make_role(server: PostgreSQL, name: str, outside: Outside, created: Container[str]) -> str:
    known = outside.roles.get(name)
    if known is None:
        server.sql(f"CREATE ROLE {quoted(name)}", *_administered(server, name))
        return f"role {name} is created without login and memberships"
    vet = vetted.role(name, known.statements, created)
    server.sql(vet.create, *_administered(server, name))
    refused = [*vet.refused]
    for key, statement in vet.settings.items():
        refused += _set(server, key, statement)
    refused += [line for each in vet.groups for line in server.attempt_sql(each)]
    login = f" without its password: ALTER ROLE {quoted(name)} PASSWORD '...' sets one" if known.login else ""
    return "; ".join([f"role {name} is created again{login}", *refused])


def _administered(server: PostgreSQL, name: str) -> list[str]:
    """Return the statement after which an owner that is no superuser may change a role, as if it had made it."""
    plain = f"SELECT 1 FROM pg_roles WHERE rolname = {literal(server.owner)} AND NOT rolsuper"  # noqa: S608 - quoted
    return [f"GRANT {quoted(name)} TO {quoted(server.owner)} WITH ADMIN OPTION"] if server.sql(plain) else []


def _set(server: PostgreSQL, key: str, statement: str) -> list[str]:
    """Run a statement that sets something for a role, if anybody may set that; return why not."""
    anybody = f"SELECT context FROM pg_settings WHERE name = lower({literal(key)})"  # noqa: S608 - quoted
    if server.sql(anybody).strip() != "user" and "." not in key:
        return [f"not run: {statement}"]
    return server.attempt_sql(statement)


def about(
    server: PostgreSQL, own: PostgreSQL, statement: str, harmless: Container[str], created: Container[str]
) -> list[str]:
    """Run a statement about a draft that stands beside the snapshot, as its owner for now; return why that failed.

    Args:
        server: as its superuser.
        own: the draft, as the role that owns it for now.
        statement: what stands beside the snapshot.
        harmless: the statements that are true of the present database.
        created: the roles that this restore has made: what another one is set to changes what it runs.
    """
    setting = vetted.SETTING.fullmatch(statement)
    if setting is None or not setting["here"]:
        return [f"{statement}: {line}" for line in own.attempt_sql(here(own, statement), database=own.name)][:1]
    name = vetted.unquoted(setting["name"])
    if not server.sql(f"SELECT 1 FROM pg_roles WHERE rolname = {literal(name)} AND NOT rolsuper"):  # noqa: S608
        return [f"not run, because {name} is a superuser: {statement}"]
    if name not in created and statement not in harmless:
        return [f"not run, because {name} already existed: {statement}"]
    return _set(server, vetted.unquoted(setting["key"]), here(own, statement))


def here(own: PostgreSQL, statement: str) -> str:
    """Return a statement with the draft's name in it, and nothing that psql would take for a command of its own."""
    return " " * statement.startswith("\\") + statement.replace(':"DBNAME"', quoted(own.name))


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'{}'".format(text.replace("'", "''"))
