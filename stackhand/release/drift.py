"""What differs in the cloud from what was released: each difference is a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackhand.release import snapshots
from stackhand.release.context import target_of
from stackhand.release.inventory import Inventory
from stackhand.release.manifest import Manifest
from stackhand.release.target import Target


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
        primary = snapshots.snapshot(seen, 0).primary
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
