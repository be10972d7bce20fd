"""Copy the database from the engine that this checkout does not run on: a dump there, restored here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from stackhand.cli.failure import ExitCode, Failure
from stackhand.database.postgres import CATALOG_ONLY, PostgreSQL
from stackhand.local import engines
from stackhand.local.engines.embedded.servers.postgres import MAJOR
from stackhand.local.engines.engine import Engine
from stackhand.project.memory import Memory
from stackhand.project.stack.model import Service

RELATIONS = """
SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND nspname <> 'information_schema' AND nspname !~ '^pg_'
"""


@dataclass(frozen=True)
class Copied:
    """A database that was taken from the other engine.

    Args:
        snapshot: its name.
        engine: where it comes from.
        major: the version of PostgreSQL there.
        before: engine, name and services of the checkout, which it goes back to when the restore fails.
    """

    snapshot: str
    engine: str
    major: int
    before: Memory = field(default_factory=Memory)


def keep(engine: Engine, progress: Callable[[str], None]) -> Copied:
    """Keep the database of the engine other than this one as a snapshot; its data stays where it is.

    Whatever runs on either engine is stopped before: nothing must be written that is not copied.

    Raises:
        Failure: there is none, it cannot be reached, or it is too new for the engine.
    """
    service = database_of(engine)
    other = engines.other(engine.name, engine.state, engine.stack)
    _require_data(engine, other)
    for each in (other, engine):
        if each.used() and each.runs():
            progress(f"stopping the services on {each.name}")
            each.down(volumes=False)
    known = engine.state.read()
    before = Memory(engine=known.engine, name=known.name, services=known.services)  # which its start overwrites
    try:
        other.start_only(service, progress)
        progress(f"taking a snapshot of the database on {other.name}")
        return replace(_dumped(PostgreSQL(other, service), engine), before=before)
    finally:
        _stop(other, before)


def restore(engine: Engine, copied: Copied, progress: Callable[[str], None]) -> list[str]:
    """Put the kept database in the place of the engine's own; a snapshot of what was there is taken first.

    Returns:
        A sentence on each thing worth knowing.

    Raises:
        Failure: the engine's PostgreSQL is older, or does not take it; the snapshot stays.
    """
    try:
        return _restored(engine, database_of(engine), copied, progress)
    except BaseException:
        with suppress(Failure):  # why it failed is what to tell
            _stop(engine, copied.before)
        raise


def _restored(engine: Engine, service: Service, copied: Copied, progress: Callable[[str], None]) -> list[str]:
    engine.start_only(service, progress)
    target = PostgreSQL(engine, service)
    if (major := _major(target)) < copied.major:
        raise _too_new(copied.engine, copied.major, engine.name, major)
    lines = []
    if not _empty(target):
        name = f"before-copy-{_stamp()}"
        target.save(name)
        lines.append(f"{engine.name} already had a database; it is kept as the snapshot {name}")
    progress(f"restoring the database from {copied.engine}")
    lines += target.replace(target.file(copied.snapshot))
    lines.append(f"kept as the snapshot {copied.snapshot}, and unchanged on {copied.engine}")
    lines.append("only the database was copied: caches and files of other services start empty")
    return lines


def database_of(engine: Engine) -> Service:
    """Return the PostgreSQL of a stack.

    Raises:
        Failure: it has none, or several.
    """
    services = engine.stack.services.values()
    database = [each for each in services if each.embedded and each.embedded.engine == "postgres"]
    if len(database) > 1:
        what = f"--copy-data copies one database, and there are several: {', '.join(each.name for each in database)}."
        steps = f"./inv db.snapshot NAME --service SERVICE for each, ./inv down, ./inv up --engine {engine.name}"
        raise Failure(what, next=f"{steps}, and ./inv db.restore NAME --service SERVICE", code=ExitCode.USAGE)
    if not database:
        what = f"{engine.stack.file} has no PostgreSQL (x-embedded: {{engine: postgres}}) to copy data from."
        raise Failure(what, next=f"./inv up --engine {engine.name}", code=ExitCode.USAGE)
    return database[0]


def _stop(engine: Engine, before: Memory) -> None:
    """Stop an engine that ran for the copy only; the checkout stays on the one that it was on."""
    try:
        engine.down(volumes=False)
    finally:
        with engine.state.edit() as memory:
            memory.engine, memory.name, memory.services = before.engine, before.name, before.services


def _require_data(engine: Engine, other: Engine) -> None:
    known = engines.other(engine.name, engine.state)
    if not known.used() or not known.data():
        raise Failure(
            f"This checkout has no data on {other.name} to copy.",
            next=f"./inv up --engine {engine.name}",
            code=ExitCode.USAGE,
        )
    made_as = engine.state.read().compose.project or engine.stack.name
    if other.name == "compose" and made_as != engine.stack.name:
        raise Failure(
            f"The volumes on compose belong to {made_as}, but .env names this stack {engine.stack.name}.",
            next=f"set COMPOSE_PROJECT_NAME={made_as} in .env, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )


def _dumped(source: PostgreSQL, engine: Engine) -> Copied:
    other = source.engine.name
    if _empty(source):
        raise Failure(
            f"The database {source.name} on {other} is empty: there is nothing to copy.",
            next=f"./inv up --engine {engine.name}",
            code=ExitCode.USAGE,
        )
    major = _major(source)
    if engine.name == "embedded" and major > int(MAJOR):
        raise _too_new(other, major, engine.name, int(MAJOR))
    name = f"from-{other}-{_stamp()}"
    source.save(name)
    return Copied(name, other, major)


def _too_new(source: str, major: int, target: str, older: int) -> Failure:
    return Failure(
        f"The database on {source} is PostgreSQL {major}, but {target} runs {older}, which cannot read it.",
        evidence=["both are stopped, and their data is unchanged"],
        next=f"./inv up --engine {source}",
        code=ExitCode.PREFLIGHT,
    )


def _empty(database: PostgreSQL) -> bool:
    return database.sql(CATALOG_ONLY, RELATIONS, database=database.name).strip() == "0"


def _major(database: PostgreSQL) -> int:
    return int(database.sql("SHOW server_version_num", database=database.name)) // 10000


def _stamp() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
