"""A database put in the place of the present one: made whole beside it, then renamed in one transaction.

How a dump becomes a database is in draft.py; here is what the present one has to do with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.cli.failure import Failure
from stackhand.database import outside, roles
from stackhand.database.draft import HERE, Draft, create, drop
from stackhand.database.outside import Outside, literal, quoted
from stackhand.local.engines import login

if TYPE_CHECKING:
    from stackhand.database.postgres import PostgreSQL

ENDS_WITHIN = 5000
"""How many milliseconds a statement has to end in when it is told to."""
LONGEST_NAME = 63
"""In bytes: NAMEDATALEN of PostgreSQL, less its NUL."""
SWAPS = 5
"""How often to try to rename: a service that reconnects at that moment is in the way."""
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


def replace(database: PostgreSQL, source: Path | None) -> list[str]:
    """Put the database of a snapshot, or an empty one, in the place of the present one.

    Returns:
        A sentence on each thing that is not as it was.

    Raises:
        Failure: it cannot be made; the present one is untouched then.
    """
    server = database.superuser()
    name, aside = spare_names(database.name)
    for each in (aside, name):
        _remove(server, each)
    present = database.outside()
    beside, schema = Outside(present.locale), ""
    notes: list[str] = []
    if source:
        schema, known = _definitions(database, source), outside.read(source)
        beside = known or Outside(present.locale, subscriptions=LISTED.findall(schema))
        notes = [] if known else [ALONE]
    created: list[str] = []
    with _undoing(server, name, aside, created):
        if source:
            with roles.restricted(server) as role, _undoing(server, name, "", created):  # it is the role's, which goes
                draft = Draft(server, name, role, source, schema, beside, present, created)
                notes += [*draft.fill(), *draft.hand_over()]
        else:
            notes += create(server, name, present.locale, present.locale, database.owner)
            if present.owner:
                server.sql(present.owner.replace(HERE, quoted(name)))
        _swap(server, name, aside)
    if source and database.sql(login.IS_SUPERUSER, database=database.name):
        notes.append(SUPERUSER.format(database.owner, login.demotion(database.service)))
    notes += [SUBSCRIPTION.format(each) for each in sorted({*beside.subscriptions, *present.subscriptions})]
    return [*notes, *_versions(beside, database.outside()), *_old(server, aside)]


def _definitions(database: PostgreSQL, source: Path) -> str:
    """Return what a dump defines, as SQL, and its list of entries, which alone has the owners of large objects."""
    wanted = (["--list"], ["--schema-only", "--file=-"])
    return "\n".join(database.run("pg_restore", *each, source=source) for each in wanted)


@contextmanager
def _undoing(server: PostgreSQL, draft: str, aside: str, created: Sequence[str]) -> Iterator[None]:
    """Where the block fails, remove the draft, and the roles made for it; the server may still be at work on it."""
    at_work = f"strpos(query, {literal(quoted(draft))}) > 0 AND pid <> pg_backend_pid()"
    end = f"SELECT pg_terminate_backend(pid, {ENDS_WITHIN}) FROM pg_stat_activity WHERE {at_work}"  # noqa: S608 - quoted
    try:
        yield
    except BaseException:  # Ctrl-C as well
        with suppress(Failure):  # it is told of already
            server.sql(end)
            if server.sql(f"SELECT 1 FROM pg_database WHERE datname = {literal(aside)}"):  # noqa: S608 - it was done
                _old(server, aside)
            else:
                server.sql(drop(draft), *(f"DROP ROLE IF EXISTS {quoted(name)}" for name in reversed(created)))
        raise


def spare_names(name: str) -> tuple[str, str]:
    """Return the names of the database that is to take a place, and of the one that leaves it: neither is its name.

    What has such a name is removed, so it is none that a user would give. PostgreSQL cuts a name after 63 bytes, so
    that a longer one of our making could be any other.
    """
    beginning = name.encode()[: LONGEST_NAME - len("_stackhand_new")].decode("utf-8", "ignore")
    first, second, *_ = (each for kind in ("new", "old", "was") if (each := f"{beginning}_stackhand_{kind}") != name)
    return first, second


def _swap(server: PostgreSQL, draft: str, aside: str) -> None:
    """Rename both in one transaction, once nobody is connected to either."""
    names = f"{literal(server.name)}, {literal(draft)}"
    leave = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({names})"  # noqa: S608 - quoted
    renames = "; ".join(
        f"ALTER DATABASE {quoted(old)} RENAME TO {quoted(new)}"
        for old, new in ((server.name, aside), (draft, server.name))
    )
    for _ in range(SWAPS - 1):
        with suppress(Failure):
            server.sql(leave, renames)
            return
    server.sql(leave, renames)


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
    database.sql(drop(name))


def _versions(outside: Outside, present: Outside) -> list[str]:
    return [
        f"extension {name} is version {present.extensions[name]} here; it was {version}"
        for name, version in outside.extensions.items()
        if present.extensions.get(name, version) != version
    ]
