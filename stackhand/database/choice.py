"""Which database or cache of the stack a verb is about: the one that `--service` names, or the only one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stackhand.cli.failure import ExitCode, Failure
from stackhand.database import migrations
from stackhand.database.mongodb import MongoDB
from stackhand.database.mysql import MySQL
from stackhand.database.postgres import PostgreSQL
from stackhand.database.server import Database
from stackhand.local import engines, status
from stackhand.local.engines.engine import Engine
from stackhand.project import settings
from stackhand.project.stack import loading
from stackhand.project.stack.kinds import IMAGES
from stackhand.project.stack.model import Service, Stack
from stackhand.project.state import State
from stackhand.system.roots import PROJECT

DATABASES: Mapping[str, type[Database]] = {"postgres": PostgreSQL, "mysql": MySQL, "mongodb": MongoDB}
CACHE = "redis"


def engine() -> Engine:
    """Return the engine that this checkout runs on, with its services."""
    stack = loading.load(PROJECT, settings.load(PROJECT).values)
    return engines.remembered(State(PROJECT), stack)


def database(verb: str, wanted: str | None) -> Database:
    """Return the database that a verb (db.shell) is about; not every kind of server supports all verbs.

    Raises:
        Failure: it does not run, or it is not clear which one is meant.
    """
    running = engine()
    kinds = [server for server, kind in DATABASES.items() if verb in kind.verbs]
    service = choose(running.stack, verb, wanted, kinds)
    failure = status.refusal(running, service)
    if failure and not isinstance(failure, status.Unhealthy):
        raise failure
    chosen = DATABASES[service.server or ""](running, service)
    # A server that is not healthy may let us in all the same, and that is when a snapshot helps most.
    if failure and not chosen.answers():
        raise failure
    return chosen


def users(database: Database) -> list[Service]:
    """Return the services whose migrations are of a database: all where it is the only one, else those that need it."""
    stack = database.engine.stack
    services = migrations.services(database.engine)
    alone = sum(each.server in DATABASES for each in stack.services.values()) == 1
    return [each for each in services if alone or database.service.name in each.depends_on]


def migrating(verb: str, wanted: str | None) -> tuple[Engine, list[Service]]:
    """Return the engine, and the services whose migrations a verb is about: of one database, or of all.

    Raises:
        Failure: a database of theirs cannot be worked with.
    """
    running = engine()
    databases = [name for name, each in running.stack.services.items() if each.server in DATABASES]
    if wanted is not None or len(databases) == 1:
        chosen = database(verb, wanted)
        return chosen.engine, users(chosen)
    services = migrations.services(running)
    for name in (each for each in databases if any(each in service.depends_on for service in services)):
        database(verb, name)
    return running, services


def choose(stack: Stack, verb: str, wanted: str | None, servers: Sequence[str]) -> Service:
    """Return the service that a verb is about: the one that the user wants, or the only one of the supported servers.

    Raises:
        Failure: there is none, or several.
    """
    matching = [each for each in stack.services.values() if each.server in servers]
    names = ", ".join(each.name for each in matching)
    if wanted is not None:
        service = stack.service(wanted)
        if service in matching:
            return service
        what = f"{verb} does not support {wanted}, which is no {_titles(servers)}."
        raise Failure(what, evidence=[f"{verb} supports: {names or 'no service'}"], code=ExitCode.USAGE)
    if len(matching) > 1:
        what = f"{verb} needs to know which service is meant: {names}."
        raise Failure(what, next=f"./inv {verb} --service NAME", code=ExitCode.USAGE)
    return matching[0] if matching else stack.find(servers[0]) if len(servers) == 1 else _none(stack, servers)


def _none(stack: Stack, servers: Sequence[str]) -> Service:
    images = ", ".join(sorted(name for server in servers for name in IMAGES[server]))
    raise Failure(
        f"{stack.file} has no {_titles(servers)}.",
        evidence=[f"it is recognised by x-embedded: {{engine: postgres}}, or by an image named {images}"],
        next="./inv status shows what there is",
        code=ExitCode.PREFLIGHT,
    )


def _titles(servers: Sequence[str]) -> str:
    titles = [DATABASES[server].title if server in DATABASES else "Redis" for server in servers]
    return " or ".join(filter(None, (", ".join(titles[:-1]), titles[-1])))
