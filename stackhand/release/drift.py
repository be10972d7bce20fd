"""What differs in the cloud from what was released: each difference is a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackhand.release import snapshots
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


def _short(arn: str) -> str:
    return arn.rpartition("/")[2]
