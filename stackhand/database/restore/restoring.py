"""A database put in the place of the present one: made whole beside it, then renamed in one transaction.

A dump is restored as a role that may do nothing else (`restricted`), and given to the stack's owner last.

Roles that a dump refers to are written down beside it. What else this server does not have is found out by restoring
the schema alone first: the server names it. Roles are made, as they were where that is known; the rest is reported, for
there is no half restore.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.cli.failure import Failure
from stackhand.database.restore import missing, outside, restricted, vetted
from stackhand.database.restore.missing import literal, quoted
from stackhand.database.restore.outside import Outside
from stackhand.local.engines import login
from stackhand.local.engines.login import Login

if TYPE_CHECKING:
    from stackhand.database.postgres import PostgreSQL

ENDS_WITHIN = 5000
"""How many milliseconds a statement has to end in when it is told to."""
LONGEST_NAME = 63
"""In bytes: NAMEDATALEN of PostgreSQL, less its NUL."""
SWAPS = 5
"""How often to try to rename: a service that reconnects at that moment is in the way."""
HERE = ':"DBNAME"'
"""The name of the database in the statements beside a snapshot."""
OWNER = re.compile(rf"^ALTER .* OWNER TO ({vetted.IDENT});$", re.MULTILINE)
LARGE = re.compile(r"^\d+; 2613 \d+ BLOB(?: METADATA)? - .*? (\S+)$", re.MULTILINE)
ALONE = "the snapshot is only a dump: it lacks the settings of the database itself and of its roles"
SUPERUSER = "{} is a superuser of this server: triggers, rules and functions that it uses have those rights; {}"
SUBSCRIPTION = "subscription {} is removed, its slot on the publisher remains: CREATE SUBSCRIPTION creates it again"
LISTED = re.compile(r"^\d+; \d+ \d+ SUBSCRIPTION - (.+) \S+$", re.MULTILINE)
UNSUBSCRIBE = """
DO $$ DECLARE each name; BEGIN
    FOR each IN SELECT subname FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid
            WHERE datname = current_database() LOOP
        EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', each);
        EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', each); -- or the publisher would have to answer
        EXECUTE format('DROP SUBSCRIPTION %I', each);
    END LOOP;
END $$
"""
"""A database with a subscription cannot be dropped."""


@dataclass(frozen=True)
class Draft:
    """A database that is being created.

    Args:
        name: of the database.
        login: of the role that it belongs to until it is whole.
        source: the dump.
        schema: the dump's definitions as SQL.
        fallback: the locale, where the server does not have the snapshot's.
        present: the statements that are true of the database whose place it takes.
    """

    name: str
    login: Login
    source: Path
    schema: str
    fallback: str
    present: frozenset[str]


def replace(database: PostgreSQL, source: Path | None) -> list[str]:
    """Put the database of a snapshot, or an empty one, in the place of the present one.

    Returns:
        A sentence on each thing that is not as it was.

    Raises:
        Failure: it cannot be made; the present one is untouched then.
    """
    server = database.superuser()
    draft, aside = spare_names(database.name)
    for name in (aside, draft):
        _remove(server, name)
    present = database.outside()
    known = outside.read(source) if source else None
    absent = known or _alone(database, source, present)
    notes = [ALONE] if source and known is None else []
    created: list[str] = []
    try:
        if source:
            notes += _restored(database, draft, source, absent, created, present=present)
        else:
            notes += _create(server, draft, present.locale, present.locale, database.owner)
            server.sql(*(each.replace(HERE, quoted(draft)) for each in present.ownership))
        _swap(server, draft, aside)
    except BaseException:  # Ctrl-C as well
        _undo(server, draft, aside, created)
        raise
    if source and database.sql(login.IS_SUPERUSER, database=database.name):
        notes.append(SUPERUSER.format(database.owner, login.demotion(database.service)))
    notes += [SUBSCRIPTION.format(name) for name in sorted({*absent.subscriptions, *present.subscriptions})]
    return [*notes, *_versions(absent, database.outside()), *_old(server, aside)]


def _restored(
    database: PostgreSQL, draft: str, source: Path, outside: Outside, created: list[str], *, present: Outside
) -> list[str]:
    """Make the draft from a dump, as a role that may do nothing else, and give it to the owner of the database."""
    server = database.superuser()
    schema = _definitions(database, source)
    with restricted.role(server) as login:
        try:
            notes = _filled(
                server,
                Draft(draft, login, source, schema, present.locale, frozenset(present.database)),
                outside,
                created,
            )
            notes += restricted.hand_over(server, draft, login, database.owner, schema)
        except BaseException:
            _undo(server, draft, "", created)  # before the role goes, whose it is
            raise
    return notes


def _definitions(database: PostgreSQL, source: Path) -> str:
    """Return what a dump defines, as SQL, and its list of entries, which alone has the owners of large objects."""
    texts = []
    for words in (("--list",), ("--schema-only", "--file=-")):
        with source.open("rb") as file:
            texts.append(database.run("pg_restore", *words, source=file))
    return "\n".join(texts)


def _alone(database: PostgreSQL, source: Path | None, present: Outside) -> Outside:
    """Return what is known where nothing stands beside the dump, or there is no dump: an empty one has its owner."""
    if source is None:
        return Outside(locale=present.locale, owner=present.owner)
    with source.open("rb") as file:
        entries = database.run("pg_restore", "--list", source=file)
    return Outside(locale=present.locale, subscriptions=LISTED.findall(entries))


def _undo(database: PostgreSQL, draft: str, aside: str, created: Sequence[str]) -> None:
    """Remove the draft, and the roles made for it; the server may still be at work on what was interrupted."""
    at_work = f"strpos(query, {literal(quoted(draft))}) > 0 AND pid <> pg_backend_pid()"
    end = f"SELECT pg_terminate_backend(pid, {ENDS_WITHIN}) FROM pg_stat_activity WHERE {at_work}"  # noqa: S608 - quoted
    with suppress(Failure):  # it is told of already
        database.sql(end)
        if database.sql(f"SELECT 1 FROM pg_database WHERE datname = {literal(aside)}"):  # noqa: S608 - it was done
            _old(database, aside)
        else:
            database.sql(_drop(draft), *(f"DROP ROLE IF EXISTS {quoted(name)}" for name in reversed(created)))


def spare_names(name: str) -> tuple[str, str]:
    """Return the names of the database that is to take a place, and of the one that leaves it: neither is its name.

    What has such a name is removed, so it is none that a user would give. PostgreSQL cuts a name after 63 bytes, so
    that a longer one of our making could be any other.
    """
    beginning = name.encode()[: LONGEST_NAME - len("_stackhand_new")].decode("utf-8", "ignore")
    first, second, *_ = (each for kind in ("new", "old", "was") if (each := f"{beginning}_stackhand_{kind}") != name)
    return first, second


def _create(server: PostgreSQL, draft: str, locale: str, fallback: str, owner: str) -> list[str]:
    """Make an empty database: of template0, for what somebody put into template1 is in no dump's way there."""

    def statements(words: str) -> tuple[str, ...]:
        return (_drop(draft), f"CREATE DATABASE {quoted(draft)} OWNER {quoted(owner)} TEMPLATE template0 {words}")

    try:
        server.sql(*statements(vetted.locale(locale, fallback)))
    except Failure:
        if locale == fallback:
            raise
        server.sql(*statements(fallback))
        return [f"this server lacks the snapshot's locale ({locale}): it is now {fallback}"]
    return []


def _filled(server: PostgreSQL, draft: Draft, outside: Outside, created: list[str]) -> list[str]:
    """Fill the draft, with the roles that it needs; `made` gets those that were not there."""
    referred = (name for name, role in outside.roles.items() if role.referred)
    notes = missing.make_roles(server, referred, outside, created)
    while True:  # of the roles in one grant or policy, the server names the first that is missing
        said = _empty(server, draft, outside)
        own = server.connected(draft.login, draft.name)
        lacks = missing.look(own, draft.source, outside.database)
        missing.refuse_without(lacks["extension"], draft.source)
        said = _empty(server, draft, outside)
        names = [name for name in lacks["role"] if name not in created]
        if not names:
            return [*notes, *said, *_fill(server, own, draft, outside, created, tablespaces=not lacks["tablespace"])]
        notes += missing.make_roles(server, names, outside, created)


def _empty(server: PostgreSQL, draft: Draft, outside: Outside) -> list[str]:
    notes = _create(server, draft.name, outside.locale, draft.fallback, draft.login.user)
    restricted.open_to(server, draft.name, draft.login, draft.schema)
    return notes


def _fill(
    server: PostgreSQL, own: PostgreSQL, draft: Draft, outside: Outside, created: list[str], *, tablespaces: bool
) -> list[str]:
    flags = (*missing.FLAGS, *(() if tablespaces else ("--no-tablespaces",)))
    refused = restricted.restore(own, draft.source, draft.schema, *flags)
    for statement in outside.database:
        refused += missing.about(server, own, statement, draft.present, created)
    notes = [] if tablespaces else ["its tablespaces do not exist here: everything is in the default one"]
    return [*notes, *(f"not restored: {each}" for each in refused), *_others(draft.schema, server.owner)]


def _others(schema: str, owner: str) -> list[str]:
    """Return a sentence on the roles to whom things belonged in the dump, and do not any more."""
    theirs = {vetted.unquoted(name) for name in OWNER.findall(schema)} | {*LARGE.findall(schema)}
    names = sorted(theirs - {owner})
    return [f"{owner} now owns what {', '.join(names)} owned"] if names else []


def _swap(database: PostgreSQL, draft: str, aside: str) -> None:
    """Rename both in one transaction, once nobody is connected to either."""
    names = f"{literal(database.name)}, {literal(draft)}"
    leave = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({names})"  # noqa: S608 - quoted
    renames = "; ".join(
        f"ALTER DATABASE {quoted(old)} RENAME TO {quoted(new)}"
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


def _old(database: PostgreSQL, aside: str) -> list[str]:
    """Remove the database that was replaced; what keeps it (a slot in use) does not undo what is done."""
    try:
        _remove(database, aside)
    except Failure as failure:
        return [f"the previous database remains as {aside}: {' '.join(failure.evidence)}"]
    return []


def _remove(database: PostgreSQL, name: str) -> None:
    with suppress(Failure):  # there is none
        database.sql(UNSUBSCRIBE, database=name)
    database.sql(_drop(name))


def _versions(outside: Outside, present: Outside) -> list[str]:
    return [
        f"extension {name} is version {present.extensions[name]} here; it was {version}"
        for name, version in outside.extensions.items()
        if present.extensions.get(name, version) != version
    ]


def _drop(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)"
