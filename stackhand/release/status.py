"""`./inv cloud.status`: what runs where, since when, by whom, and what differs from that."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stackhand.aws.errors import failure
from stackhand.cli import console
from stackhand.cli.confirmation import confirm
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.bucket import Conflict, Store
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.release import cluster, lease
from stackhand.release.cluster import Inventory
from stackhand.release.manifest import Manifest, Releases
from stackhand.release.target import Target, target_of
from stackhand.release.verdict import COMPLETED, FAILED, Deployment

STYLES = {"running": "green", "rolling": "yellow", "failing": "bold red", "missing": "bold red", "stopped": "bold red"}
DEEP = 20
"""How many releases are read, at most, to find out which one a service runs."""


def status(*, environment: str, json: bool) -> None:
    """Show an environment.

    Raises:
        Failure: not every service runs as it is wanted; there is nothing more to say about it.
    """
    found = snapshot(find(environment))
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
        found = cluster.services_of(stands.environment.client("ecs"), target.cluster, services.values())
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
            *of(target, stands.current, found.services),
            *sets(target, stands.current, found),
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
    primary = cluster.snapshot(found, 0).primary if found else None
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


def of(target: Target, current: Manifest | None, found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return how the services differ from the last known good release and from their bounds.

    Args:
        target: Terraform's output.
        current: the release that is to run.
        found: what DescribeServices says, by ECS's names.
    """
    lines = []
    for name, service in target.services.items():
        seen = found.get(service.service)
        if seen is None or seen.get("status") != "ACTIVE":
            lines.append(f"{name}: the cluster {target.cluster} has no active service {service.service}")
            continue
        primary = cluster.snapshot(seen, 0).primary
        wanted = current.services[name].task_definition if current and name in current.services else ""
        if primary and wanted and primary.task_definition != wanted:
            lines.append(f"{name}: runs {_short(primary.task_definition)}, and {_short(wanted)} was released")
        desired = int(seen.get("desiredCount", 0))
        if not service.min <= desired <= service.max:
            lines.append(f"{name}: {desired} tasks are wanted, and its bounds are {service.min} and {service.max}")
    return lines


def sets(target: Target, current: Manifest | None, found: Inventory) -> list[str]:
    """Return which services the cluster has and the last known good release does not, and the other way round.

    Args:
        target: Terraform's output, of the newest attempt.
        current: the release that is to run.
        found: all services of the cluster.
    """
    if current is None:
        return []
    good, names = target_of(current), {each.service: name for name, each in target.services.items()}
    lines = [
        f"{names.get(service, service)}: runs {_short(definition)}, and the last good release does not have it"
        for service, definition in found.others(good).items()
    ]
    gone = [name for name in found.missing(good) if name not in target.services]
    return lines + [f"{name}: the last good release has it, and the cluster does not" for name in gone]


def _short(arn: str) -> str:
    return arn.rpartition("/")[2]


@dataclass(frozen=True)
class Standing:
    """What the bucket knows of an environment.

    Args:
        environment: which.
        releases: its releases.
        current: the last known good one; none before the first.
        newest: the newest attempt.
    """

    environment: Environment
    releases: Releases
    current: Manifest | None
    newest: Manifest

    @property
    def target(self) -> Target:
        """Where its services are."""
        return target_of(self.newest)

    def services(self) -> dict[str, str]:
        """Return the services of the last known good release and of the newest attempt, with ECS's names."""
        targets = [*([target_of(self.current)] if self.current else []), self.target]
        return {name: each.service for target in targets for name, each in target.services.items()}


def find(name: str) -> Standing:
    """Return how an environment stands.

    Raises:
        Failure: it is not known, cannot be read, or nothing was ever released to it.
    """
    environment = environments.load(name)
    releases = Releases(Store(environment))
    current = releases.current()
    newest = next(releases.newest_first(), current)
    if newest is None:
        raise Failure(f"Nothing was released to {name} yet.", next=f"./inv deploy -e {name}", code=ExitCode.UNHEALTHY)
    return Standing(environment, releases, current, newest)


def chosen(target: Target, services: list[str]) -> list[str]:
    """Return the services that were named; all of them when none was.

    Raises:
        Failure: one is not known.
    """
    unknown = [name for name in services if name not in target.services]
    if unknown:
        raise Failure(
            f"There is no service {unknown[0]!r} in {target.environment}.",
            evidence=[f"known: {', '.join(target.services)}"],
            code=ExitCode.USAGE,
        )
    return services or [*target.services]


VERDICT_STYLES = {"deployed": "green", "rolled_back": "yellow", "failed": "bold red", "superseded": "yellow"}


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
        console.table(rows, ["", "release", "kind", "verdict", "by", "reason"], VERDICT_STYLES)


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
