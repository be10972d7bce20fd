"""The verbs cloud.status, cloud.releases and cloud.unlock: what runs, what was released, and who holds the lease."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import msgspec

from stackhand.aws.errors import failure
from stackhand.cli import console
from stackhand.cli.console import confirm
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.infrastructure.store import Conflict, Store
from stackhand.project import environments
from stackhand.release import lease
from stackhand.release.context import EnvironmentState, find
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.ecs.states import ABSENT, Inventory, ServiceState
from stackhand.release.manifest import Manifest, Releases
from stackhand.release.target import Target, short, target_of
from stackhand.release.verdict import COMPLETED, FAILED, Deployment

STYLES = {"running": "green", "rolling": "yellow", "failing": "bold red", "missing": "bold red", "stopped": "bold red"}
VERDICT_STYLES = {"deployed": "green", "rolled_back": "yellow", "failed": "bold red", "superseded": "yellow"}
DEEP = 20
"""How many releases are read, at most, to find out which one a service runs."""


class ReleaseSummary(msgspec.Struct, frozen=True):
    """A release, as far as a status shows it."""

    id: str
    kind: str
    commit: str
    by: str
    began: str
    ended: str
    verdict: str
    reason: str

    @classmethod
    def of(cls, manifest: Manifest | None) -> ReleaseSummary | None:
        """Return the summary of a release, if there is one."""
        return cls(*(getattr(manifest, key) for key in cls.__struct_fields__)) if manifest else None


class CloudServiceStatus(msgspec.Struct, frozen=True):
    """What a service of the cluster runs."""

    name: str
    state: str = "missing"
    commit: str | None = None
    by: str | None = None
    task_definition: str | None = None
    running: int = 0
    desired: int = 0
    since: str | None = None


class Status(msgspec.Struct, frozen=True):
    """The document of `cloud.status --json` (docs/output.md)."""

    environment: str
    url: str
    release: ReleaseSummary | None
    newest: ReleaseSummary | None
    lease: dict[str, str] | None
    services: list[CloudServiceStatus]
    drift: list[str]


def status(*, environment: str, json: bool) -> None:
    """Show an environment.

    Raises:
        Exit: not every service runs as it is wanted; there is nothing more to say about it.
    """
    status = status_of(find(environment))
    if json:
        console.document(status)
    else:
        _show(status)
    if any(each.state != "running" for each in status.services):
        raise Exit(ExitCode.UNHEALTHY)


def status_of(state: EnvironmentState) -> Status:
    """Return what runs in an environment, and how it differs from what was released."""
    target, services = state.target, state.services()
    try:
        inventory = Cluster(state.environment.client("ecs"), target.cluster).inventory(services.values())
    except Exception as error:
        raise failure(f"The state of {target.environment} cannot be read", error) from error
    current_lease = lease.current(state.releases.store)
    services |= {name: name for name in inventory.services if name not in services.values()}
    releases = _releases(state, inventory)
    return Status(
        environment=target.environment,
        url=target.url,
        release=ReleaseSummary.of(state.current),
        newest=ReleaseSummary.of(state.newest),
        lease=current_lease.lease.public() if current_lease else None,
        services=[_service(name, inventory.services.get(each, ABSENT), releases) for name, each in services.items()],
        drift=[
            *drift(target, state.current, inventory.services),
            *drift_of_sets(target, state.current, inventory),
            *([inventory.note] if inventory.note else []),
        ],
    )


def _releases(state: EnvironmentState, inventory: Inventory) -> dict[str, Manifest]:
    """Return the releases by the task definitions they consist of, as far as the services that run need it."""
    wanted = {each.task_definition for service in inventory.services if (each := inventory.primary(service))}
    first = [*([state.current] if state.current else []), state.newest]
    by_definition: dict[str, Manifest] = {}
    for manifest in itertools.chain(first, itertools.islice(state.releases.newest_first(), DEEP)):
        for part in manifest.services.values():
            by_definition.setdefault(part.task_definition, manifest)
        if wanted <= by_definition.keys():
            break
    return by_definition


def _service(name: str, state: ServiceState, releases: Mapping[str, Manifest]) -> CloudServiceStatus:
    primary = state.primary
    if primary is None:
        return CloudServiceStatus(name)
    release, created = releases.get(primary.task_definition), state.created.get(primary.id)
    return CloudServiceStatus(
        name=name,
        state=_health(state, primary),
        commit=release.commit if release else None,
        by=release.by if release else None,
        task_definition=primary.task_definition,
        running=state.running,
        desired=state.desired,
        since=created.isoformat(timespec="seconds") if created else None,
    )


def _health(state: ServiceState, primary: Deployment) -> str:
    if primary.rollout == FAILED:
        return "failing"
    if primary.rollout != COMPLETED:
        return "rolling"
    if state.desired == 0:
        return "stopped"
    return "running" if state.running >= state.desired else "failing"


def _show(status: Status) -> None:
    release, newest = status.release, status.newest
    what = f"{release.commit[:12]} since {release.ended}, by {release.by}" if release else "no good release yet"
    console.write(f"{status.environment} at {status.url}: {what}")
    rows = [
        [
            each.name,
            each.state,
            f"{each.running}/{each.desired}",
            (each.commit or "not ours")[:12],
            short(each.task_definition or "-"),
            each.since or "-",
        ]
        for each in status.services
    ]
    console.table(rows, ["service", "state", "tasks", "commit", "definition", "since"], STYLES)
    if newest and release and newest.id != release.id:
        console.write(f"newest attempt: {newest.id}, {newest.verdict or 'under way'} {newest.reason}".rstrip())
    if status.lease:
        console.write(f"lease: {status.lease['owner']} deploys {status.lease['commit'][:12]}")
    for line in status.drift:
        console.write(f"differs: {line}")


def drift(target: Target, current: Manifest | None, services: Mapping[str, ServiceState]) -> list[str]:
    """Return how the services differ from the last known good release and from their bounds."""
    lines = []
    for name, service in target.services.items():
        state = services.get(service.service, ABSENT)
        if not state.active:
            lines.append(f"{name}: the cluster {target.cluster} has no active service {service.service}")
            continue
        primary, desired = state.primary, state.desired
        wanted = current.services[name].task_definition if current and name in current.services else ""
        if primary and wanted and primary.task_definition != wanted:
            lines.append(f"{name}: runs {short(primary.task_definition)}, but {short(wanted)} was released")
        if not service.min <= desired <= service.max:
            lines.append(f"{name}: {desired} tasks are desired, outside its bounds {service.min} to {service.max}")
    return lines


def drift_of_sets(target: Target, current: Manifest | None, inventory: Inventory) -> list[str]:
    """Return which services the cluster has and the last known good release does not, and the other way round."""
    if current is None:
        return []
    good, names = target_of(current), {each.service: name for name, each in target.services.items()}
    lines = [
        f"{names.get(service, service)}: runs {short(definition)}, but is not in the last good release"
        for service, definition in inventory.others(good).items()
    ]
    gone = [name for name in inventory.missing(good) if name not in target.services]
    return lines + [f"{name}: it is in the last good release, but not in the cluster" for name in gone]


def releases(*, environment: str, lines: int, json: bool) -> None:
    """Show the newest releases with their verdicts."""
    history = Releases(Store(environments.load(environment)))
    current = history.current()
    newest = list(itertools.islice(history.newest_first(ever=True), lines))
    if json:
        shown = [{key: value for key, value in msgspec.to_builtins(each).items() if key != "target"} for each in newest]
        console.document({"environment": environment, "current": current.id if current else None, "releases": shown})
    elif not newest:
        console.write(f"{environment} has no release yet.")
    else:
        at_work = lease.current(history.store) is not None
        rows = [_row(each, current, "in progress" if at_work else "unresolved") for each in newest]
        console.table(rows, ["", "release", "kind", "verdict", "by", "reason"], VERDICT_STYLES)


def unlock(*, environment: str, yes: bool) -> None:
    """Show whose the lease is, and take it from them when the environment's name is typed.

    Raises:
        Failure: they gave it back, or renewed it, meanwhile.
    """
    store = Store(environments.load(environment))
    current = lease.current(store)
    if current is None:
        console.write(f"Nobody holds the lease of {environment}.")
        return
    for line in current.lease.lines():
        console.write(line)
    if not yes:
        confirm(f"The current holder loses its right to deploy to {environment}", environment)
    try:
        store.remove(lease.KEY, etag=current.etag)
    except Conflict:
        newer = lease.current(store)
        raise Failure(
            "The lease was renewed or given back meanwhile: its holder is alive.",
            evidence=newer.lease.lines() if newer else ["nobody holds it now"],
            next=f"./inv cloud.unlock -e {environment}, to take it away anyway",
        ) from None
    console.write(f"The lease of {environment} is free.")


def _row(manifest: Manifest, current: Manifest | None, unknown: str) -> list[str]:
    mark = "*" if current and manifest.id == current.id else ""
    return [mark, manifest.id, manifest.kind, manifest.verdict or unknown, manifest.by, manifest.reason]
