"""`./inv cloud.releases` and `./inv cloud.unlock`: what was released, and who is at it."""

from __future__ import annotations

import itertools

from stackhand.cli import console
from stackhand.cli.confirmation import confirm
from stackhand.cli.failure import Failure
from stackhand.infrastructure.store import Conflict, Store
from stackhand.project import environments
from stackhand.release import lease
from stackhand.release.manifest import Manifest, Releases

STYLES = {"deployed": "green", "rolled_back": "yellow", "failed": "bold red", "superseded": "yellow"}


def releases(*, environment: str, lines: int, json: bool) -> None:
    """Show the newest releases with their verdicts."""
    found = Releases(Store(environments.load(environment)))
    current = found.current()
    newest = list(itertools.islice(found.newest_first(ever=True), lines))
    if json:
        shown = [{key: value for key, value in each.to_dict().items() if key != "target"} for each in newest]
        console.document({"environment": environment, "current": current.id if current else None, "releases": shown})
    elif not newest:
        console.say(f"Nothing was released to {environment} yet.")
    else:
        at_work = lease.current(found.store) is not None
        rows = [_row(each, current, "under way" if at_work else "left open") for each in newest]
        console.table(rows, ["", "release", "kind", "verdict", "by", "reason"], STYLES)


def unlock(*, environment: str, yes: bool) -> None:
    """Show whose the lease is, and take it from them when the environment's name is typed.

    Raises:
        Failure: they gave it back, or renewed it, meanwhile.
    """
    store = Store(environments.load(environment))
    found = lease.current(store)
    if found is None:
        console.say(f"Nobody deploys to {environment}.")
        return
    for line in found[0].words():
        console.say(line)
    if not yes:
        confirm(f"Who holds it does nothing more to {environment} after this", environment)
    try:
        store.remove(lease.KEY, etag=found[1])
    except Conflict:
        newer = lease.current(store)
        raise Failure(
            "The lease was renewed or given back meanwhile: who holds it is alive.",
            evidence=newer[0].words() if newer else ["nobody has it now"],
            next=f"./inv cloud.unlock -e {environment}, if it is to be taken from them all the same",
        ) from None
    console.say(f"The lease of {environment} is free.")


def _row(manifest: Manifest, current: Manifest | None, unknown: str) -> list[str]:
    mark = "*" if current and manifest.id == current.id else ""
    return [mark, manifest.id, manifest.kind, manifest.verdict or unknown, manifest.by, manifest.reason]
