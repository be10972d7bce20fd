"""A restore that has begun: kept in the bucket from before the old database goes until the new one is there.

Without it, a deploy after an interruption would find no database, make an empty one, and call it good.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stackhand.failure import ExitCode, Failure
from stackhand.infrastructure.restore import Restore
from stackhand.release import manifest
from stackhand.release.store import Store

KEY = "restore.json"


class Unfinished(msgspec.Struct, frozen=True):
    """A restore that has begun.

    Args:
        snapshots: the snapshot that each replaced database starts from, by service.
        by: who began it.
        began: when, in UTC.
    """

    snapshots: dict[str, str]
    by: str
    began: str


def begin(store: Store, restored: Restore) -> None:
    """Note that databases are about to give way.

    Raises:
        Failure: the bucket cannot be written.
    """
    chosen = {service: restored.named[service] for service in restored.replaced}
    store.write(KEY, msgspec.to_builtins(Unfinished(chosen, manifest.owner(), manifest.timestamp())))


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
    missing = [service for service in found.snapshots if service not in chosen]
    if missing:
        name = store.environment.name
        again = f"--from-snapshot {missing[0]}={found.snapshots[missing[0]]} --replace-database"
        raise Failure(
            f"A restore of {name} was interrupted: the database of {missing[0]} is gone, or without its data.",
            evidence=[f"{found.by} began it at {found.began}", "a deploy would make an empty database instead"],
            next=f"./inv deploy -e {name} {again}",
            code=ExitCode.PREFLIGHT,
        )
