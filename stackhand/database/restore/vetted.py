"""Statements beside a snapshot, read again word by word before a superuser runs them.

The file comes with the dump, from whoever made it: what is not exactly of the shapes that `outside.QUERY` writes is
reported and never run.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field

IDENT = r'(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)'
LITERAL = r"(?:'(?:[^'\\]|'')*'| ?E'(?:[^'\\]|''|\\\\)*')"
VALUE = rf"(?:{LITERAL}|{IDENT})"
LOCALE = re.compile(
    rf"(?:(?:ENCODING|LC_COLLATE|LC_CTYPE|ICU_LOCALE|BUILTIN_LOCALE) {LITERAL} ?|LOCALE_PROVIDER (?:icu|builtin) ?)*"
)
ROLE = re.compile(rf"CREATE ROLE (?P<name>{IDENT})(?P<options>.*)")
OPTION = re.compile(
    rf" (?:(?P<kept>NOINHERIT|LOGIN|CONNECTION LIMIT \d+|VALID UNTIL {LITERAL})"
    r"|(?P<power>SUPERUSER|CREATEROLE|CREATEDB|REPLICATION|BYPASSRLS))"
)
MEMBER = re.compile(rf"GRANT (?P<group>{IDENT}) TO (?P<name>{IDENT})(?: WITH (?:ADMIN OPTION|INHERIT FALSE))?")
SETTING = re.compile(
    rf"ALTER ROLE (?P<name>{IDENT})(?P<here> IN DATABASE :\"DBNAME\")?"
    rf" SET (?P<key>{IDENT}(?:\.{IDENT})?) TO {VALUE}(?:, ?{VALUE})*"
)
DEFAULTS = re.compile(
    rf"ALTER DEFAULT PRIVILEGES FOR ROLE {IDENT}(?P<rest>(?: IN SCHEMA {IDENT})? (?:GRANT|REVOKE) [A-Z, ]+ ON [A-Z]+"
    rf" (?:TO|FROM) {IDENT}(?: WITH GRANT OPTION)?);",
)
EXTENSION = re.compile(
    rf"^CREATE EXTENSION IF NOT EXISTS (?P<name>{IDENT})(?: WITH SCHEMA (?P<schema>{IDENT}))?;$", re.M
)


@dataclass
class Role:
    """What may be made of a role's statements.

    Args:
        create: the statement that makes it, without powers over the server.
        settings: by their key, the statements that need a look at the key.
        groups: statements that give it membership in roles that this restore created.
        refused: sentences on what is left out.
    """

    create: str
    settings: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def locale(words: str, fallback: str) -> str:
    """Return the words of CREATE DATABASE when they are nothing but a locale."""
    return words if LOCALE.fullmatch(words) else fallback


def role(name: str, statements: list[str], created: Container[str]) -> Role:
    """Return what may be run to make a role again.

    Args:
        name: of the role.
        statements: as they stand beside the snapshot.
        created: the roles that this restore has made: only in those may it become a member.
    """
    quoted = '"{}"'.format(name.replace('"', '""'))
    role = Role(f"CREATE ROLE {quoted}")
    for statement in statements:
        if each := ROLE.fullmatch(statement):
            options = list(OPTION.finditer(each["options"]))
            role.create += "".join(f" {option['kept']}" for option in options if option["kept"])
            if powers := [option["power"] for option in options if option["power"]]:
                role.refused.append(f"it was {', '.join(powers)} and no longer is")
            if "".join(option[0] for option in options) != each["options"]:
                role.refused.append("some of its options are unknown")
        elif (each := MEMBER.fullmatch(statement)) and unquoted(each["name"]) == name:
            if unquoted(each["group"]) in created:
                role.groups.append(statement)
            else:
                role.refused.append(f"it is not a member of {each['group']}, which already existed")
        elif (each := SETTING.fullmatch(statement)) and unquoted(each["name"]) == name and not each["here"]:
            role.settings[unquoted(each["key"])] = statement
        else:
            role.refused.append(f"not run: {statement}")
    return role


def unquoted(name: str) -> str:
    """Return a name without SQL's quotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
