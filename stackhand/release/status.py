"""`./inv cloud.status`: what runs where, since when, by whom, and what differs from that."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import msgspec

from stackhand.aws.errors import failure
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.release import drift, inventory, lease, snapshots, standing
from stackhand.release.inventory import Inventory
from stackhand.release.manifest import Manifest
from stackhand.release.standing import Standing
from stackhand.release.verdict import COMPLETED, FAILED, Deployment

STYLES = {"running": "green", "rolling": "yellow", "failing": "bold red", "missing": "bold red", "stopped": "bold red"}
DEEP = 20
"""How many releases are read, at most, to find out which one a service runs."""


def status(*, environment: str, json: bool) -> None:
    """Show an environment.

    Raises:
        Failure: not every service runs as it is wanted; there is nothing more to say about it.
    """
    found = snapshot(standing.find(environment))
    if json:
        console.document(found)
    else:
        _show(found)
    if any(each["state"] != "running" for each in found["services"]):
        raise Failure("", code=ExitCode.UNHEALTHY)


def snapshot(stands: Standing) -> dict[str, Any]:
    """Return the document of `cloud.status --json` (docs/output.md)."""
    target = stands.target
    services = stands.services()
    try:
        found = inventory.take(stands.environment.client("ecs"), target.cluster, services.values())
    except Exception as error:
        raise failure(f"{target.environment} cannot be asked", error) from error
    held = lease.current(stands.releases.store)
    services |= {name: name for name in found.services if name not in services.values()}
    by_definition = _releases(stands, found)
    return {
        "environment": target.environment,
        "url": target.url,
        "release": _brief(stands.current),
        "newest": _brief(stands.newest),
        "lease": {key: value for key, value in msgspec.to_builtins(held[0]).items() if key != "token"}
        if held
        else None,
        "services": [_service(name, found.services.get(each), by_definition) for name, each in services.items()],
        "drift": [
            *drift.of(target, stands.current, found.services),
            *drift.sets(target, stands.current, found),
            *([found.note] if found.note else []),
        ],
    }


def _brief(manifest: Manifest | None) -> dict[str, Any] | None:
    if manifest is None:
        return None
    keys = ("id", "kind", "commit", "by", "began", "ended", "verdict", "reason")
    return {key: getattr(manifest, key) for key in keys}


def _releases(stands: Standing, found: Inventory) -> dict[str, Manifest]:
    """Return the releases by the task definitions they consist of, as far as the services that run need it."""
    wanted = {each.task_definition for service in found.services if (each := found.primary(service))}
    first = [*([stands.current] if stands.current else []), stands.newest]
    by_definition: dict[str, Manifest] = {}
    for manifest in itertools.chain(first, itertools.islice(stands.releases.newest_first(), DEEP)):
        for part in manifest.services.values():
            by_definition.setdefault(part.task_definition, manifest)
        if wanted <= by_definition.keys():
            break
    return by_definition


def _service(name: str, found: Mapping[str, Any] | None, releases: dict[str, Manifest]) -> dict[str, Any]:
    primary = snapshots.snapshot(found, 0).primary if found else None
    if found is None or primary is None:
        return {"name": name, "state": "missing", "commit": None, "task_definition": None, "running": 0, "desired": 0}
    known = releases.get(primary.task_definition)
    since = next((each.get("createdAt") for each in found["deployments"] if each["id"] == primary.id), None)
    return {
        "name": name,
        "state": _state(found, primary),
        "commit": known.commit if known else None,
        "by": known.by if known else None,
        "task_definition": primary.task_definition,
        "running": int(found.get("runningCount", primary.running)),
        "desired": int(found.get("desiredCount", 0)),
        "since": since.isoformat(timespec="seconds") if since else None,
    }


def _state(found: Mapping[str, Any], primary: Deployment) -> str:
    if primary.rollout == FAILED:
        return "failing"
    if primary.rollout != COMPLETED:
        return "rolling"
    running, desired = int(found.get("runningCount", primary.running)), int(found.get("desiredCount", 0))
    if desired == 0:
        return "stopped"
    return "running" if running >= desired else "failing"


def _show(found: dict[str, Any]) -> None:
    release = found["release"]
    what = f"{release['commit'][:12]} since {release['ended']}, by {release['by']}" if release else "nothing good yet"
    console.say(f"{found['environment']} at {found['url']}: {what}")
    rows = [
        [
            each["name"],
            each["state"],
            f"{each['running']}/{each['desired']}",
            (each["commit"] or "not ours")[:12],
            str(each["task_definition"] or "-").rpartition("/")[2],
            each.get("since") or "-",
        ]
        for each in found["services"]
    ]
    console.table(rows, ["service", "state", "tasks", "commit", "definition", "since"], STYLES)
    newest = found["newest"]
    if newest and release and newest["id"] != release["id"]:
        console.say(f"newest attempt: {newest['id']}, {newest['verdict'] or 'under way'} {newest['reason']}".rstrip())
    if found["lease"]:
        console.say(f"lease: {found['lease']['owner']} deploys {found['lease']['commit'][:12]}")
    for line in found["drift"]:
        console.say(f"differs: {line}")
