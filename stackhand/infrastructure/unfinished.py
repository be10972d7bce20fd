"""A restore that has begun: kept in the bucket from before the old database goes until the new one is there.

Without it, a deploy after an interruption would find no database, make an empty one, and call it good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import actor, rds
from stackhand.infrastructure.restore import Restore
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment

KEY = "restore.json"


class Unfinished(msgspec.Struct, frozen=True):
    """A restore that has begun.

    Args:
        snapshots: the snapshot that each replaced database starts from, by service.
        by: who began it.
        began: when, in UTC.
        replaced: what AWS calls each of the databases that give way; a new one of the same name has another.
    """

    snapshots: dict[str, str]
    by: str
    began: str
    replaced: dict[str, str] = {}


def begin(store: Store, restored: Restore) -> None:
    """Note that databases are about to give way.

    Raises:
        Failure: the bucket cannot be written.
    """
    chosen = {service: restored.named[service] for service in restored.replaced}
    replaced = {service: _number(_find(store.environment, service)) for service in chosen}
    found = Unfinished(chosen, actor.owner(), actor.timestamp(), replaced)
    store.write(KEY, msgspec.to_builtins(found))


def end(store: Store) -> None:
    """Forget it: the databases are there.

    Raises:
        Failure: the bucket cannot be written.
    """
    found = store.read(KEY)
    if found:
        store.remove(KEY, etag=found.etag)


def require_none(store: Store, chosen: Sequence[str]) -> None:
    """Go on unless a restore was interrupted that this deploy does not finish.

    One that came to nothing, or that was complete but for its note, holds up nobody.

    Args:
        store: the environment's bucket.
        chosen: the services whose database this deploy restores.

    Raises:
        Failure: there is one; its database is gone, or does not have its data yet.
    """
    document = store.read(KEY)
    if document is None:
        return
    found = msgspec.convert(document.content, Unfinished)
    there = {service: _find(store.environment, service) for service in found.snapshots if service not in chosen}
    missing = [service for service, each in there.items() if not _whole(found, service, each)]
    if missing:
        raise _refused(store.environment, found, missing[0], there[missing[0]])
    if not set(found.snapshots) & set(chosen):
        store.remove(KEY, etag=document.etag)


def _find(environment: Environment, service: str) -> dict[str, Any] | None:
    return rds.find_database(environment, f"{environment.stack}-{environment.name}-{service}")


def _number(database: Mapping[str, Any] | None) -> str:
    return str((database or {}).get("DbiResourceId", ""))


def _whole(found: Unfinished, service: str, database: dict[str, Any] | None) -> bool:
    """Whether a database is the one that was to give way, or started from the snapshot that was to replace it."""
    if database is None or database.get("DBInstanceStatus") == "deleting":
        return False
    untouched = bool(_number(database)) and _number(database) == found.replaced.get(service)
    return untouched or rds.restored_from(database) == found.snapshots[service]


def _refused(environment: Environment, found: Unfinished, service: str, database: dict[str, Any] | None) -> Failure:
    state = "is gone" if database is None else "is without its data"
    again = f"--from-snapshot {service}={found.snapshots[service]}{' --replace-database' if database else ''}"
    return Failure(
        f"A restore of {environment.name} was interrupted: the database of {service} {state}.",
        evidence=[
            f"{found.by} began it at {found.began}",
            "a deploy would leave it so; with --tag, if it was to have an earlier commit",
        ],
        next=f"./inv deploy -e {environment.name} {again}",
        code=ExitCode.PREFLIGHT,
    )
