"""`./inv cloud.snapshots` and `./inv cloud.snapshot`: what there is to go back to, and one more of it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from stackhand import ROOT
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account, description, point_in_time, rds, restore
from stackhand.project import environments
from stackhand.project.environments import Environment

HEADINGS = ("snapshot", "created", "GiB", "engine", "kind", "status", "key")
STYLES = {"available": "green", "enabled": "green", "none": "green"}


def show(*, environment: str, json: bool) -> None:
    """Show the snapshots of an environment's databases, also of one that was destroyed."""
    chosen = environments.load(environment)
    account.check(chosen)
    snapshots = rds.snapshots(chosen)
    if json:
        console.document({"environment": environment, "snapshots": [asdict(each) for each in snapshots]})
    elif not snapshots:
        console.say(f"There is no snapshot of {environment} in {chosen.region}.")
    else:
        rows = [
            (each.name, each.created, str(each.size), each.engine, each.kind, each.status, each.key_state)
            for each in snapshots
        ]
        console.table(rows, HEADINGS, STYLES)


def take(*, environment: str, database: str, at: str) -> None:
    """Take a snapshot of a database, as it is or as it was.

    Args:
        environment: whose.
        database: the service's name; needed where there are several.
        at: a time with its zone; empty for now.
    """
    chosen = environments.load(environment)
    account.check(chosen)
    moment = _time(at) if at else None
    identifier = f"{chosen.stack}-{environment}-{_service(chosen, database)}"
    there = _require(chosen, identifier)
    if moment:
        name = point_in_time.snapshot(chosen, there, moment, console.tell)
    else:
        name = rds.take(chosen, identifier)
        console.tell(f"{name}: RDS takes it; minutes")
        rds.wait(chosen, name)
    console.say(name)
    console.tell(f"./inv deploy -e {environment} --from-snapshot {name} starts a database from it")


def _service(environment: Environment, wanted: str) -> str:
    databases = restore.databases(description.stack_of(ROOT))
    if wanted in databases or (not wanted and len(databases) == 1):
        return wanted or databases[0]
    raise Failure(
        f"There is no database {wanted!r}." if wanted else f"{environment.name} has several databases, or none.",
        evidence=[f"services with managed: rds: {', '.join(databases) or 'none'}"],
        next="name one of them: --database NAME",
        code=ExitCode.USAGE,
    )


def _require(environment: Environment, identifier: str) -> dict[str, Any]:
    """Return a database that is there, as RDS describes it."""
    if (database := rds.find_database(environment, identifier)) is not None:
        return database
    raise Failure(
        f"{environment.name} has no database {identifier}.",
        evidence=["a destroyed environment has the snapshots that it left"],
        next=f"./inv cloud.snapshots -e {environment.name}",
        code=ExitCode.USAGE,
    )


def _time(text: str) -> datetime:
    """Return a time; without a zone nobody knows which is meant."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Failure(
            f"--at {text} is no time with a zone.",
            evidence=[f"now is {datetime.now(UTC).isoformat(timespec='seconds')}"],
            next="write it so: --at 2026-01-31T02:10:00Z, or +01:00 for Z",
            code=ExitCode.USAGE,
        )
    return moment.astimezone(UTC)
