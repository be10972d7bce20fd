"""A database that is made from a dump, beside the one whose place it is to take, by a role that may do nothing else.

A dump is a program for the server: COPY TO PROGRAM, ALTER SYSTEM, a function in C. So pg_restore connects as a role
which nothing in the dump can leave, for it is no member of any other (docs/decisions/042-database-roles.md). All is
given to the stack's owner last.

Roles that a dump refers to are written down beside it. What else this server does not have is found out by restoring
the schema alone first: the server names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.cli.failure import Failure
from stackhand.database import outside, roles
from stackhand.database.outside import Outside, literal, quoted, unquoted
from stackhand.local.engines.login import Login

if TYPE_CHECKING:
    from stackhand.database.postgres import PostgreSQL

FLAGS = ("--no-owner", "--no-subscriptions")
"""Who restores it owns it all until it is whole; a subscription would fetch with a slot that another uses."""
MISSING = re.compile(r"(role|tablespace|extension) \"(.*)\" (?:does not exist|is not available)$")
HERE = ':"DBNAME"'
"""The name of the database in the statements beside a snapshot."""
OWNER = re.compile(rf"^ALTER .* OWNER TO ({outside.IDENT});$", re.MULTILINE)
LARGE = re.compile(r"^\d+; 2613 \d+ BLOB(?: METADATA)? - .*? (\S+)$", re.MULTILINE)
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


@dataclass(frozen=True)
class Draft:
    """A database that is being made from a dump.

    Args:
        server: connected to as its superuser.
        name: of the database.
        login: of the role that it belongs to until it is whole.
        source: the dump.
        schema: the dump's definitions as SQL, and its list of entries.
        outside: what stands beside the dump.
        present: the same of the database whose place it takes.
        created: gets the roles that this restore makes.
    """

    server: PostgreSQL
    name: str
    login: Login
    source: Path
    schema: str
    outside: Outside
    present: Outside
    created: list[str]

    @property
    def own(self) -> PostgreSQL:
        """The draft, connected to as the role that owns it for now."""
        return self.server.connected(self.login, self.name)

    def fill(self) -> list[str]:
        """Make the draft and the roles that it needs, and return a sentence on each thing that is not as it was.

        Raises:
            Failure: an extension is not to be had, or the dump does not go through.
        """
        referred = (name for name, role in self.outside.roles.items() if role.referred)
        notes = roles.make(self.server, referred, self.outside, self.created)
        while True:  # of the roles in one grant or policy, the server names the first that is missing
            self._empty()
            missing = self._missing()
            refuse_without(missing["extension"], self.source)
            names = [name for name in missing["role"] if name not in self.created]
            if not names:
                return [*notes, *self._empty(), *self._load(tablespaces=not missing["tablespace"])]
            notes += roles.make(self.server, names, self.outside, self.created)

    def _empty(self) -> list[str]:
        """Make it empty, with what its role cannot make: the extensions; and open the tablespaces to that."""
        notes = create(self.server, self.name, self.outside.locale, self.present.locale, self.login.user)
        who = quoted(self.login.user)
        statements = [f"ALTER DATABASE {quoted(self.name)} SET lc_messages TO 'C'"]  # the messages that REFUSED knows
        if int(self.server.sql("SHOW server_version_num")) // 10000 < OWN_SCHEMA_BEFORE:
            statements.append(f"ALTER SCHEMA public OWNER TO {who}")
        spaces = self.server.names("SELECT spcname FROM pg_tablespace WHERE NOT starts_with(spcname, 'pg_')")
        statements += [f"GRANT CREATE ON TABLESPACE {quoted(space)} TO {who}" for space in spaces]
        available = set(self.server.names("SELECT name FROM pg_available_extensions"))
        for each in outside.EXTENSION.finditer(self.schema):
            if unquoted(each["name"]) not in available:
                continue  # told as missing when the dump asks for it
            if each["schema"] and unquoted(each["schema"]) != "pg_catalog":
                statements.append(f"CREATE SCHEMA IF NOT EXISTS {each['schema']} AUTHORIZATION {who}")
            statements.append(each[0].removesuffix(";") + " CASCADE")
        self.server.sql(*statements, database=self.name)
        tables = "SELECT unnest(extconfig)::regclass::text FROM pg_extension"  # a dump has rows of the user's for them
        grants = [f"GRANT INSERT ON {table} TO {who}" for table in self.server.names(tables, self.name)]
        self.server.sql(*grants, database=self.name)
        return notes

    def _missing(self) -> dict[str, list[str]]:
        """Return what the dump refers to and this server lacks: all, or once that is there it names the rest."""
        args = ("--schema-only", *FLAGS, f"--dbname={self.name}")
        _, errors = self.own.attempt("pg_restore", *args, source=self.source)
        errors += [line for statement in self.outside.database for line in self._attempt(statement)]
        found = [each.groups() for line in errors if (each := MISSING.search(line))]
        kinds = ("role", "tablespace", "extension")
        return {kind: list(dict.fromkeys(name for what, name in found if what == kind)) for kind in kinds}

    def _load(self, *, tablespaces: bool) -> list[str]:
        refused = self._restore(*([] if tablespaces else ["--no-tablespaces"]))
        refused += [line for statement in self.outside.database for line in self._apply(statement)]
        notes = [] if tablespaces else ["its tablespaces do not exist here: everything is in the default one"]
        return [*notes, *(f"not restored: {each}" for each in refused), *self._other_owners()]

    def _restore(self, *flags: str) -> list[str]:
        """Restore the dump as the role, and return a sentence on each entry that takes a superuser.

        Raises:
            Failure: it was not restored to its end, or anything else went wrong.
        """
        args = ("--verbose", *FLAGS, *flags, f"--dbname={self.name}")  # or it would not say which entry it is at
        code, lines = self.own.attempt("pg_restore", *args, source=self.source)
        refused: list[str] = []
        wrong: list[str] = []
        for entry, message in _errors(lines):
            if not self._is_done(entry, message):
                (refused if REFUSED.search(message) else wrong).append(f"{entry}: {message}")
        whole = code == 0 or (code == 1 and bool(AT_ITS_END.match(lines[-1])))
        if whole and not wrong:
            return refused
        if refused and whole:
            name = self.source.stem
            raise Failure(
                f"The snapshot {name} needs a superuser to restore it, and ./inv db.restore never uses one.",
                evidence=[*refused, *wrong][-10:],
                next=BY_HAND,
            )
        final = [
            each for each in lines if not each.startswith("pg_restore: ") or each.startswith("pg_restore: error: ")
        ]
        evidence = [*wrong, *final[-3:]][-10:]
        raise Failure("pg_restore failed.", evidence=evidence, next=f"./inv logs {self.server.service.name}")

    def _is_done(self, entry: str, message: str) -> bool:
        """Whether what was refused is there all the same: the superuser has made it, or makes it last."""
        if entry.startswith("DEFAULT ACL "):
            return bool(REFUSED.search(message))
        if "must be owner of extension" in message:  # its comment, which it has
            return True
        made = {unquoted(each["schema"]) for each in outside.EXTENSION.finditer(self.schema) if each["schema"]}
        return any(message == f'schema "{name}" already exists' for name in made)

    def _apply(self, statement: str) -> list[str]:
        """Run a statement about the database that stands beside the dump, as its owner for now; return why that failed.

        What a role that this restore has not made is set to would change what it runs.
        """
        setting = outside.SETTING.fullmatch(statement)
        if setting is None or not setting["here"]:
            return [f"{statement}: {line}" for line in self._attempt(statement)][:1]
        name = unquoted(setting["name"])
        plain = f"SELECT 1 FROM pg_roles WHERE rolname = {literal(name)} AND NOT rolsuper"  # noqa: S608 - quoted
        if not self.server.sql(plain):
            return [f"not run, because {name} is a superuser: {statement}"]
        if name not in self.created and statement not in self.present.database:
            return [f"not run, because {name} already existed: {statement}"]
        return roles.set_for_role(self.server, unquoted(setting["key"]), self._here(statement))

    def _attempt(self, statement: str) -> list[str]:
        return self.own.attempt_sql(self._here(statement), database=self.name)

    def _here(self, statement: str) -> str:
        """Return a statement with the draft's name in it, and nothing that psql would take for a command of its own."""
        return " " * statement.startswith("\\") + statement.replace(HERE, quoted(self.name))

    def _other_owners(self) -> list[str]:
        """Return a sentence on the roles to whom things belonged in the dump, and do not any more."""
        theirs = {unquoted(name) for name in OWNER.findall(self.schema)} | {*LARGE.findall(self.schema)}
        names, owner = sorted(theirs - {self.server.owner}), self.server.owner
        return [f"{owner} now owns what {', '.join(names)} owned"] if names else []

    def hand_over(self) -> list[str]:
        """Give the restored database and all in it to its owner; return what is not as it was in the dump.

        A function that runs with the rights of its owner would run with those of ours, for whoever calls it: the API's
        own statements do, where it is a trigger.
        """
        who, owner = quoted(self.login.user), quoted(self.server.owner)
        definers = self.server.names(DEFINERS.format(literal(self.login.user)), self.name)
        self.server.sql(*(f"ALTER ROUTINE {each} SECURITY INVOKER" for each in definers), database=self.name)
        self.server.sql(
            f"ALTER DATABASE {quoted(self.name)} RESET lc_messages",
            f"REASSIGN OWNED BY {who} TO {owner}",
            f"DROP OWNED BY {who}",
            database=self.name,
        )
        refused = [f"{each} now runs with its caller's rights, no longer its owner's" for each in definers]
        for line in (line for line in self.schema.splitlines() if line.startswith("ALTER DEFAULT PRIVILEGES ")):
            each = outside.DEFAULTS.fullmatch(line)
            statement = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner}{each['rest']}" if each else ""
            if not statement or self.server.attempt_sql(statement, database=self.name):
                refused.append(f"not restored: {line}")
        return refused


def create(server: PostgreSQL, name: str, locale: str, fallback: str, owner: str) -> list[str]:
    """Make an empty database, in the fallback where the server lacks its locale, and say so then.

    It is made of template0, for what somebody put into template1 is in no dump's way there.
    """

    def statements(words: str) -> tuple[str, ...]:
        return (drop(name), f"CREATE DATABASE {quoted(name)} OWNER {quoted(owner)} TEMPLATE template0 {words}")

    try:
        server.sql(*statements(locale if outside.LOCALE.fullmatch(locale) else fallback))
    except Failure:
        if locale == fallback:
            raise
        server.sql(*statements(fallback))
        return [f"this server lacks the snapshot's locale ({locale}): it is now {fallback}"]
    return []


def drop(name: str) -> str:
    """Return the statement that removes a database, whoever is connected to it."""
    return f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)"


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


def _errors(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what pg_restore reported of the dump's entries: the entry, and the message."""
    entry = "the dump"
    for line in lines:
        if each := ENTRY.match(line):
            entry = each[1]
        elif each := ERROR.match(line):
            yield entry, each[1]
