"""The roles of a restore: the one that the dump is restored as, and those that it refers to and this server lacks.

Those that are written down beside the dump are made as they were; the rest is reported, for there is no half restore.
"""

from __future__ import annotations

import secrets
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from stackhand.cli.failure import Failure
from stackhand.database.outside import Outside, literal, quoted, vetted_role
from stackhand.local.engines.login import Login

if TYPE_CHECKING:
    from stackhand.database.postgres import PostgreSQL

PREFIX = "stackhand_restore_"


@contextmanager
def restricted(server: PostgreSQL) -> Iterator[Login]:
    """Make a role for one restore, with no right beyond the database that it fills, and remove it at the end.

    Those that a killed restore has left are removed first, if nothing is theirs.
    """
    for name in server.names(f"SELECT rolname FROM pg_roles WHERE rolname ^@ {literal(PREFIX)}"):  # noqa: S608
        with suppress(Failure):
            server.sql(f"DROP ROLE {quoted(name)}")
    login = Login(f"{PREFIX}{secrets.token_hex(6)}", secrets.token_urlsafe(24))
    options = "LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS"
    # by standard input: what is on a command line, everybody on the machine can read
    server.run_secret(f"CREATE ROLE {quoted(login.user)} {options} PASSWORD {literal(login.password)}")
    try:
        yield login
    finally:
        server.sql(f"DROP ROLE IF EXISTS {quoted(login.user)}")


def make(server: PostgreSQL, names: Iterable[str], outside: Outside, created: list[str]) -> list[str]:
    """Make those roles that are not there, and return a sentence on each; `created` gets them."""
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
    vetted = vetted_role(name, known.statements, created)
    server.sql(vetted.create, *_administered(server, name))
    refused = [*vetted.refused]
    for key, statement in vetted.settings.items():
        refused += set_for_role(server, key, statement)
    refused += [line for each in vetted.groups for line in server.attempt_sql(each)]
    login = f" without its password: ALTER ROLE {quoted(name)} PASSWORD '...' sets one" if known.login else ""
    return "; ".join([f"role {name} is created again{login}", *refused])


def _administered(server: PostgreSQL, name: str) -> list[str]:
    """Return the statement after which an owner that is no superuser may change a role, as if it had made it."""
    plain = f"SELECT 1 FROM pg_roles WHERE rolname = {literal(server.owner)} AND NOT rolsuper"  # noqa: S608 - quoted
    return [f"GRANT {quoted(name)} TO {quoted(server.owner)} WITH ADMIN OPTION"] if server.sql(plain) else []


def set_for_role(server: PostgreSQL, key: str, statement: str) -> list[str]:
    """Run a statement that sets something for a role, if anybody may set that; return why not."""
    anybody = f"SELECT context FROM pg_settings WHERE name = lower({literal(key)})"  # noqa: S608 - quoted
    if server.sql(anybody).strip() != "user" and "." not in key:
        return [f"not run: {statement}"]
    return server.attempt_sql(statement)
