"""The role that a dump is restored as: made for one restore, with no right beyond the database that it fills.

A dump is a program for the server: COPY TO PROGRAM, ALTER SYSTEM, a function in C. So pg_restore connects as this role,
which nothing in the dump can leave, for it is no member of any other (docs/decisions/042-database-roles.md).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.cli.failure import Failure
from stackhand.database.restore import vetted
from stackhand.database.restore.missing import literal, quoted
from stackhand.local.engines.login import Login

if TYPE_CHECKING:
    from stackhand.database.postgres import PostgreSQL

PREFIX = "stackhand_restore_"
OWN_SCHEMA_BEFORE = 15
"""From this version on the schema public belongs to the owner of its database."""
ENTRY = re.compile(r"pg_restore: from TOC entry \d+; \d+ \d+ (.*)$")
ERROR = re.compile(r"pg_restore: error: (?:could not execute query: |COPY failed for table .*?: )?(?:ERROR: +)?(.*)$")
AT_ITS_END = re.compile(r"pg_restore: warning: errors ignored on restore: \d+$")
REFUSED = re.compile(r"permission denied|must be superuser|must be owner of|must be able to SET ROLE|must be member of")
DEFINERS = """
SELECT format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(p.oid))
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = pronamespace WHERE prosecdef AND proowner = {}::regrole
"""
BY_HAND = "if you trust its author, pg_restore it as a superuser (docs/decisions/042-database-roles.md)"


@contextmanager
def role(server: PostgreSQL) -> Iterator[Login]:
    """Make the role, and remove it at the end; first those that a killed restore has left, if nothing is theirs."""
    for name in _names(server, f"SELECT rolname FROM pg_roles WHERE rolname ^@ {literal(PREFIX)}"):  # noqa: S608
        with suppress(Failure):
            server.sql(f"DROP ROLE {quoted(name)}")
    login = Login(f"{PREFIX}{secrets.token_hex(6)}", secrets.token_urlsafe(24))
    options = "LOGIN NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS"
    # by standard input: what is on a command line, everybody on the machine can read
    server.script(f"CREATE ROLE {quoted(login.user)} {options} PASSWORD {literal(login.password)}")
    try:
        yield login
    finally:
        server.sql(f"DROP ROLE IF EXISTS {quoted(login.user)}")


def open_to(server: PostgreSQL, draft: str, login: Login, schema: str) -> None:
    """Prepare an empty draft for the role: tablespaces, and what it cannot make, the extensions.

    Args:
        server: as its superuser.
        draft: the database.
        login: of the role, which owns it.
        schema: the dump's definitions as SQL.

    Raises:
        Failure: an extension is not to be had.
    """
    who = quoted(login.user)
    statements = [f"ALTER DATABASE {quoted(draft)} SET lc_messages TO 'C'"]  # the messages that REFUSED knows
    if int(server.sql("SHOW server_version_num")) // 10000 < OWN_SCHEMA_BEFORE:
        statements.append(f"ALTER SCHEMA public OWNER TO {who}")
    spaces = _names(server, "SELECT spcname FROM pg_tablespace WHERE NOT starts_with(spcname, 'pg_')")
    statements += [f"GRANT CREATE ON TABLESPACE {quoted(space)} TO {who}" for space in spaces]
    available = set(_names(server, "SELECT name FROM pg_available_extensions"))
    for each in vetted.EXTENSION.finditer(schema):
        if vetted.unquoted(each["name"]) not in available:
            continue  # told as missing when the dump asks for it
        if each["schema"] and vetted.unquoted(each["schema"]) != "pg_catalog":
            statements.append(f"CREATE SCHEMA IF NOT EXISTS {each['schema']} AUTHORIZATION {who}")
        statements.append(each[0].removesuffix(";") + " CASCADE")
    server.sql(*statements, database=draft)
    tables = "SELECT unnest(extconfig)::regclass::text FROM pg_extension"  # a dump has rows of the user's for them
    grants = [f"GRANT INSERT ON {table} TO {who}" for table in _names(server, tables, draft)]
    server.sql(*grants, database=draft)


def restore(draft: PostgreSQL, source: Path, schema: str, *flags: str) -> list[str]:
    """Restore a dump as the role, and return a sentence on each entry that takes a superuser.

    Raises:
        Failure: it was not restored to its end, or anything else went wrong.
    """
    with source.open("rb") as file:
        args = ("--verbose", *flags, f"--dbname={draft.name}")  # or it would not say which entry it is at
        code, lines = draft.attempt("pg_restore", *args, source=file)
    refused: list[str] = []
    wrong: list[str] = []
    for entry, message in _errors(lines):
        if _is_done(entry, message, schema):
            continue
        (refused if REFUSED.search(message) else wrong).append(f"{entry}: {message}")
    whole = code == 0 or (code == 1 and bool(AT_ITS_END.match(lines[-1])))
    if whole and not wrong:
        return refused
    if refused and whole:
        raise Failure(
            f"The snapshot {source.stem} needs a superuser to restore it, and ./inv db.restore never uses one.",
            evidence=[*refused, *wrong][-10:],
            next=BY_HAND,
        )
    raise Failure(
        "pg_restore failed.", evidence=[*wrong, *_final(lines)][-10:], next=f"./inv logs {draft.service.name}"
    )


def hand_over(server: PostgreSQL, draft: str, login: Login, owner: str, schema: str) -> list[str]:
    """Give the restored database and all in it to its owner; return what is not as it was in the dump.

    A function that runs with the rights of its owner would run with those of ours, for whoever calls it: the API's own
    statements do, where it is a trigger.
    """
    definers = _names(server, DEFINERS.format(literal(login.user)), draft)
    server.sql(*(f"ALTER ROUTINE {each} SECURITY INVOKER" for each in definers), database=draft)
    server.sql(
        f"ALTER DATABASE {quoted(draft)} RESET lc_messages",
        f"REASSIGN OWNED BY {quoted(login.user)} TO {quoted(owner)}",
        f"DROP OWNED BY {quoted(login.user)}",
        database=draft,
    )
    refused = [f"{each} now runs with its caller's rights, no longer its owner's" for each in definers]
    for line in (line for line in schema.splitlines() if line.startswith("ALTER DEFAULT PRIVILEGES ")):
        each = vetted.DEFAULTS.fullmatch(line)
        statement = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(owner)}{each['rest']}" if each else ""
        if not statement or server.attempt_sql(statement, database=draft):
            refused.append(f"not restored: {line}")
    return refused


def _names(server: PostgreSQL, query: str, database: str | None = None) -> list[str]:
    """Return a query's one column; a name may have any character in it, such as the end of a line."""
    answer = server.sql(f"SELECT coalesce(json_agg(name), '[]') FROM ({query}) AS names(name)", database=database)  # noqa: S608
    names: list[str] = json.loads(answer)
    return names


def _final(lines: list[str]) -> list[str]:
    """Return what pg_restore reported last, without its progress."""
    return [line for line in lines if line.startswith("pg_restore: error: ") or not line.startswith("pg_restore: ")][
        -3:
    ]


def _errors(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what pg_restore reported of the dump's entries: the entry, and the message."""
    entry = "the dump"
    for line in lines:
        if each := ENTRY.match(line):
            entry = each[1]
        elif each := ERROR.match(line):
            yield entry, each[1]


def _is_done(entry: str, message: str, schema: str) -> bool:
    """Whether what was refused is there all the same: the superuser has made it, or makes it last."""
    if entry.startswith("DEFAULT ACL "):
        return bool(REFUSED.search(message))
    if "must be owner of extension" in message:  # its comment, which it has
        return True
    made = {vetted.unquoted(each["schema"]) for each in vetted.EXTENSION.finditer(schema) if each["schema"]}
    return any(message == f'schema "{name}" already exists' for name in made)
