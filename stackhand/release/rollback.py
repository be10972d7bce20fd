"""A release that brings an earlier one back: the same task definitions, a new entry in the history."""

from __future__ import annotations

import msgspec

from stackhand.failure import ExitCode, Failure
from stackhand.release import manifest as manifests
from stackhand.release import snapshots
from stackhand.release.context import Context, target_of
from stackhand.release.manifest import Manifest, Part
from stackhand.release.migrating import require_way_back
from stackhand.release.returning import active
from stackhand.release.verdict import COMPLETED


def prepare(context: Context, good: Manifest) -> Manifest:
    """Return the release that brings a good one back.

    Raises:
        Failure: it was never good, or does not work with the schema of now.
    """
    if not good.good:
        raise Failure(
            f"The release {good.id} was never good: {good.verdict or 'it has no verdict'}.",
            evidence=[good.reason] if good.reason else [],
            next=f"./inv cloud.releases -e {context.environment.name} shows those that were",
            code=ExitCode.USAGE,
        )
    require_way_back(context.releases, good)
    target = target_of(good)
    running = snapshots.describe(context.ecs, target.cluster, [each.service for each in target.services.values()])
    parts = {}
    for name, part in good.services.items():
        primary = snapshots.snapshot(running.get(target.services[name].service), 0).primary
        wanted = active(context.ecs, part.task_definition)
        same = bool(primary and primary.task_definition == wanted and primary.rollout == COMPLETED)
        parts[name] = Part(wanted, part.image, same=same, previous=primary.task_definition if primary else "")
    return msgspec.structs.replace(
        good,
        id=manifests.new_id(good.commit),
        kind="rollback",
        of=good.of or good.id,
        by=manifests.owner(),
        run=manifests.run_url(),
        began=manifests.timestamp(),
        ended="",
        verdict="",
        reason="",
        rolled=False,
        services=parts,
    )
