"""A release that brings an earlier one back: the same task definitions, a new entry in the history."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import actor
from stackhand.release import inventory, pullable
from stackhand.release import manifest as manifests
from stackhand.release.context import Context, target_of
from stackhand.release.inventory import Inventory
from stackhand.release.manifest import Manifest, Part
from stackhand.release.migrating import require_way_back
from stackhand.release.returning import active
from stackhand.release.verdict import COMPLETED, Deployment


def prepare(context: Context, good: Manifest) -> Manifest:
    """Return the release that brings a good one back.

    Raises:
        Failure: it was never good, does not work with the current schema, or lacks something that it needs.
    """
    _require_good(context, good)
    require_way_back(context.releases, good)
    target = target_of(good)
    cluster = inventory.of(context, target)
    running = {name: cluster.primary(target.services[name].service) for name in good.services}
    same = [name for name, part in good.services.items() if _runs(part, running[name])]
    _require_services(context, good, cluster)
    _require_pullable(context, good, [name for name in good.services if name not in same])
    parts = {name: _part(context, part, running[name], same=name in same) for name, part in good.services.items()}
    extra = cluster.others(target)
    for line in [*kept(good, extra), cluster.note]:
        if line:
            context.note(line)
    return _again(good, parts, extra)


def kept(good: Manifest, extra: dict[str, str]) -> list[str]:
    """Return a line for each service of the cluster that a release does not have."""
    short = {name: definition.rpartition("/")[2] for name, definition in extra.items()}
    return [f"{name}: {good.commit[:12]} does not have it; it stays on {short[name]}" for name in extra]


def _require_good(context: Context, good: Manifest) -> None:
    if not good.good:
        raise Failure(
            f"The release {good.id} was never good: {good.verdict or 'it has no verdict'}.",
            evidence=[good.reason] if good.reason else [],
            next=f"./inv cloud.releases -e {context.environment.name} shows those that were",
            code=ExitCode.USAGE,
        )


def _require_services(context: Context, good: Manifest, cluster: Inventory) -> None:
    """Refuse to return to a release whose services do not exist or run no tasks; all of them return, or none."""
    target = target_of(good)
    if missing := cluster.missing(target):
        others = ", ".join(cluster.services) or "none"
        lines = [f"{name}: the cluster {target.cluster} no longer has the service" for name in missing]
        raise _lacks(context, good, [*lines, f"the cluster has: {others}"])
    definitions = {name: part.task_definition for name, part in good.services.items()}
    inventory.require_tasks(context, target, cluster, definitions)


def _require_pullable(context: Context, good: Manifest, names: Sequence[str]) -> None:
    problems, notes = pullable.check(context, good, names)
    if problems:
        raise _lacks(context, good, problems)
    for note in notes:
        context.note(note)


def _lacks(context: Context, good: Manifest, lines: Sequence[str]) -> Failure:
    name = context.environment.name
    return Failure(
        f"{good.commit[:12]} cannot return to {name}: something that it needs is gone; nothing was touched.",
        evidence=lines,
        next=f"git checkout {good.commit[:12]}, then ./inv deploy -e {name} --allow-older makes it anew",
        code=ExitCode.PREFLIGHT,
    )


def _runs(part: Part, primary: Deployment | None) -> bool:
    return bool(primary and primary.task_definition == part.task_definition and primary.rollout == COMPLETED)


def _part(context: Context, part: Part, primary: Deployment | None, *, same: bool) -> Part:
    wanted = part.task_definition if same else context.retry(lambda: active(context.ecs, part.task_definition))
    return Part(wanted, part.image, same=same, previous=primary.task_definition if primary else "")


def _again(good: Manifest, parts: dict[str, Part], extra: dict[str, str]) -> Manifest:
    return msgspec.structs.replace(
        good,
        id=manifests.new_id(good.commit),
        kind="rollback",
        of=good.of or good.id,
        by=actor.owner(),
        run=actor.run_url(),
        began=actor.timestamp(),
        ended="",
        verdict="",
        reason="",
        rolled=False,
        services=parts,
        extra=extra,
    )
