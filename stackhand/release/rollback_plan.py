"""What goes where when a release is taken back, decided before any order."""

from __future__ import annotations

from dataclasses import dataclass, field

from stackhand.release import inventory, pullable
from stackhand.release.context import Context, target_of
from stackhand.release.inventory import Inventory
from stackhand.release.manifest import Manifest


@dataclass
class Plan:
    """What goes where.

    Args:
        orders: the task definition that each service of the failed release goes to.
        problems: why nothing can go back.
        extra: services that the good release does not have, and the task definition each ends on.
        kept: services of the good release that stay on something else, for the failed one does not have them.
        lines: what else there is to report.
    """

    orders: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def plan(context: Context, manifest: Manifest, good: Manifest) -> Plan:
    """Decide what goes where: the good release's services to its definitions, others to what they ran before."""
    found, cluster = Plan(), inventory.of(context, target_of(manifest), target_of(good))
    _plan_good(context, found, cluster, manifest, good)
    for name in manifest.services:
        if name not in good.services:
            _plan_added(context, found, manifest, good, name)
    known = {**target_of(manifest).services, **target_of(good).services}
    ours = {each.service for each in known.values()}
    others = {service for service in cluster.services if service not in ours}
    for service in sorted(others):
        primary = cluster.primary(service)
        found.extra[service] = primary.task_definition if primary else ""
        found.lines.append(f"{service}: {good.commit[:12]} does not have it; it stays on {short(found.extra[service])}")
    idle = cluster.idle(target_of(good))
    found.lines += [*inventory.wanting_none(context.environment, target_of(good), idle)]
    found.lines += [cluster.note] * bool(cluster.note)
    return found


def short(definition: str) -> str:
    """Return a task definition as family and revision."""
    return definition.rpartition("/")[2]


def _plan_good(context: Context, found: Plan, cluster: Inventory, manifest: Manifest, good: Manifest) -> None:
    """Plan for the services of the good release: each must exist, and must be able to start."""
    target, checked = target_of(good), []
    for name, part in good.services.items():
        primary = cluster.primary(target.services[name].service)
        if primary is None:
            found.problems.append(f"{name}: the cluster {target.cluster} no longer has the service")
        elif name in manifest.services:
            found.orders[name] = part.task_definition
            checked += [name] * (primary.task_definition != part.task_definition)
        elif primary.task_definition != part.task_definition:
            found.kept.append(name)
            found.lines.append(f"{name}: {manifest.commit[:12]} does not have it; it stays as it is")
    problems, notes = pullable.check(context, good, checked)
    found.problems += problems
    found.lines += notes


def _plan_added(context: Context, found: Plan, manifest: Manifest, good: Manifest, name: str) -> None:
    """Plan for a service that the good release does not have: it goes back to what it ran before, as ECS would do."""
    before, ours = _before(context, manifest, good, name), manifest.services[name].task_definition
    found.orders[name] = found.extra[name] = before
    how = "it stays on" if before == ours else "it returns to what it ran before,"
    found.lines.append(f"{name}: {good.commit[:12]} does not have it; {how} {short(before)}")


def _before(context: Context, manifest: Manifest, good: Manifest, name: str) -> str:
    """Return what a service ran before this release, and before earlier ones since the last good one."""
    wanted = manifest.services[name].task_definition
    for release in [manifest, *context.releases.newest_first()]:
        if release.id <= good.id:
            break
        part = release.services.get(name)
        if part and part.task_definition == wanted:
            wanted = part.previous or wanted
    return wanted
