"""What belongs to a database and is not in its dump: roles; its own owner, settings, grants and locale.

Beside a snapshot stands a file with it, `NAME.outside.json`: statements of SQL, written down by the server itself, so
that nothing here needs to know how PostgreSQL quotes. In those on the database, `:"DBNAME"` stands for its name, as in
psql. A password is none of it: neither its text nor its hash (docs/decisions/028-snapshots.md).

The file comes with the dump, from whoever made it, so its statements are read again word by word before a superuser
runs them: what is not exactly of the shapes that `QUERY` writes is reported and never run.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

QUERY = r"""
WITH RECURSIVE here AS (
    SELECT oid, datdba, datacl, datconnlimit, encoding, datcollate, datctype,
        to_jsonb(d) ->> 'datlocprovider' AS provider, -- not every version has these columns
        coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale
    FROM pg_database AS d WHERE datname = current_database()
), owner AS ( -- where it is not the stack's own role, which may have another name when it is restored
    SELECT r.oid, rolname FROM here JOIN pg_roles AS r ON r.oid = datdba WHERE r.oid <> 10 AND rolname <> current_user
), settings AS (
    SELECT setdatabase, setrole, position,
        format('SET %I TO %s', key, CASE
            WHEN value = '' THEN $$''$$
            WHEN key IN ('search_path', 'temp_tablespaces') OR key LIKE '%\_preload\_libraries' THEN value
            ELSE quote_literal(value) END) AS clause
    FROM pg_db_role_setting, unnest(setconfig) WITH ORDINALITY AS each(text, position),
        LATERAL (SELECT split_part(text, '=', 1) AS key, substr(text, strpos(text, '=') + 1) AS value) AS pair
), referred AS (
    SELECT refobjid AS oid FROM pg_shdepend, here WHERE refclassid = 'pg_authid'::regclass
        AND (dbid = here.oid OR (classid = 'pg_database'::regclass AND objid = here.oid AND refobjid <> datdba))
    UNION SELECT oid FROM owner
    UNION SELECT setrole FROM settings, here WHERE setdatabase = here.oid AND setrole <> 0
), named AS (
    SELECT oid FROM referred
    UNION SELECT datdba FROM here
    UNION SELECT oid FROM pg_roles WHERE oid = 10 -- what it owns is noted down nowhere
    UNION SELECT roleid FROM pg_auth_members JOIN named ON member = named.oid
), members AS (
    SELECT member, g.rolname AS name, format('GRANT %I TO %I', g.rolname, r.rolname) AS grants,
        bool_or(admin_option) AS admin, bool_and(to_jsonb(m) ->> 'inherit_option' = 'false') AS apart
    FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = roleid JOIN pg_roles AS r ON r.oid = member
    GROUP BY member, g.rolname, r.rolname
), roles AS (
    SELECT rolname, jsonb_build_object('login', rolcanlogin, 'referred', r.oid IN (SELECT oid FROM referred),
        'groups', coalesce((SELECT jsonb_agg(name) FROM members WHERE member = r.oid AND name !~ '^pg_'), '[]'),
        'statements', jsonb_build_array(concat_ws(' ', format('CREATE ROLE %I', rolname),
            CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN NOT rolinherit THEN 'NOINHERIT' END,
            CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
            CASE WHEN rolcanlogin THEN 'LOGIN' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
            CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
            CASE WHEN rolconnlimit <> -1 THEN 'CONNECTION LIMIT ' || rolconnlimit END,
            CASE WHEN rolvaliduntil IS NOT NULL THEN format('VALID UNTIL %L', rolvaliduntil) END))
        || coalesce((SELECT jsonb_agg(grants || option) FROM members, LATERAL (VALUES
                (CASE WHEN admin THEN ' WITH ADMIN OPTION' ELSE '' END),
                (CASE WHEN apart THEN ' WITH INHERIT FALSE' END)) AS options(option)
            WHERE member = r.oid AND option IS NOT NULL), '[]')
        || coalesce((SELECT jsonb_agg(format('ALTER ROLE %I %s', rolname, clause) ORDER BY position) FROM settings
            WHERE setrole = r.oid AND setdatabase = 0), '[]')) AS role
    FROM pg_roles AS r JOIN named USING (oid) WHERE rolname !~ '^pg_'
), statements(position, statement) AS (
    SELECT 1, format('ALTER DATABASE :"DBNAME" %s', clause) FROM settings, here
        WHERE setdatabase = here.oid AND setrole = 0
    UNION ALL SELECT 2, format('ALTER ROLE %I IN DATABASE :"DBNAME" %s', rolname, clause)
        FROM settings JOIN here ON setdatabase = here.oid JOIN pg_roles ON pg_roles.oid = setrole
    UNION ALL SELECT 3, 'ALTER DATABASE :"DBNAME" CONNECTION LIMIT ' || datconnlimit FROM here WHERE datconnlimit <> -1
    UNION ALL SELECT 4, format('COMMENT ON DATABASE :"DBNAME" IS %L', comment)
        FROM here, shobj_description(here.oid, 'pg_database') AS comment WHERE comment IS NOT NULL
    UNION ALL SELECT 5, 'REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC' FROM here WHERE datacl IS NOT NULL
    UNION ALL SELECT 6, format('GRANT %s ON DATABASE :"DBNAME" TO %s%s', privilege_type,
            coalesce((SELECT quote_ident(rolname) FROM pg_roles WHERE oid = grantee), 'PUBLIC'),
            CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM here, aclexplode(datacl) WHERE grantee <> datdba
)
SELECT jsonb_build_object(
    'locale', (SELECT concat_ws(' ', 'ENCODING', quote_literal(pg_encoding_to_char(encoding)),
        'LC_COLLATE', quote_literal(datcollate), 'LC_CTYPE', quote_literal(datctype),
        CASE provider WHEN 'i' THEN format('LOCALE_PROVIDER icu ICU_LOCALE %L', locale)
            WHEN 'b' THEN format('LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', locale) END) FROM here),
    'owner', (SELECT format('ALTER DATABASE :"DBNAME" OWNER TO %I', rolname) FROM owner),
    'subscriptions', (SELECT coalesce(jsonb_agg(subname ORDER BY subname), '[]')
        FROM pg_subscription JOIN here ON subdbid = here.oid),
    'extensions', (SELECT coalesce(jsonb_object_agg(extname, extversion), '{}') FROM pg_extension),
    'roles', (SELECT coalesce(jsonb_object_agg(rolname, role), '{}') FROM roles),
    'database', (SELECT coalesce(jsonb_agg(statement ORDER BY position), '[]') FROM statements))
"""
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


class DumpRole(msgspec.Struct):
    """A role that something in the database belongs to or is granted to.

    Args:
        login: whether it may log in; it is made without a password.
        groups: the roles it is a member of, which have to be there first.
        statements: that make it.
        referred: whether the database refers to it by name; otherwise it is there for another role, or owns by default.
    """

    login: bool
    groups: list[str]
    statements: list[str]
    referred: bool = False


class Outside(msgspec.Struct):
    """What belongs to a database and is not in its dump.

    Args:
        locale: of `CREATE DATABASE`: encoding and sort order.
        extensions: their versions, by name.
        roles: by name.
        database: statements about the database itself: settings, grants, limit and comment.
        owner: the statement that gives the database to its owner; None where that is the stack's own role.
        subscriptions: their names.
    """

    locale: str
    extensions: dict[str, str] = {}
    roles: dict[str, DumpRole] = {}
    database: list[str] = []
    owner: str | None = None
    subscriptions: list[str] = []


def beside(snapshot: Path) -> Path:
    """Return the file that stands beside a snapshot."""
    return snapshot.with_suffix(".outside.json")


def read(snapshot: Path) -> Outside | None:
    """Return what was written down beside a snapshot; nothing beside an old one, or one that was copied alone."""
    try:
        return msgspec.json.decode(beside(snapshot).read_bytes(), type=Outside)
    except (OSError, ValueError):
        return None


@dataclass
class VettedRole:
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


def vetted_role(name: str, statements: list[str], created: Container[str]) -> VettedRole:
    """Return what may be run to make a role again.

    Args:
        name: of the role.
        statements: as they stand beside the snapshot.
        created: the roles that this restore has made: only in those may it become a member.
    """
    role = VettedRole(f"CREATE ROLE {quoted(name)}")
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


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """Return a text as SQL has it."""
    return "'{}'".format(text.replace("'", "''"))


def unquoted(name: str) -> str:
    """Return a name without SQL's quotes."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
