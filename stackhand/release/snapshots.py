"""DescribeServices, turned into the snapshots that verdict.py judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackhand.release.verdict import Deployment, Snapshot

BATCH = 10
"""As many services as DescribeServices takes at once."""
EVENTS = 20


def describe(ecs: Any, cluster: str, services: list[str]) -> dict[str, dict[str, Any]]:
    """Return what ECS says of each service; one that it does not know is missing."""
    found = {}
    for start in range(0, len(services), BATCH):
        answer = ecs.describe_services(cluster=cluster, services=services[start : start + BATCH])
        found.update({each["serviceName"]: each for each in answer["services"]})
    return found


def snapshot(found: Mapping[str, Any] | None, at: float) -> Snapshot:
    """Return one service's snapshot.

    Args:
        found: its entry in the answer; none when ECS does not know it.
        at: seconds since UpdateService returned.
    """
    if found is None:
        return Snapshot(at, active=False)
    deployments = tuple(deployment(each) for each in found.get("deployments", []))
    events = tuple(str(each.get("message", "")) for each in found.get("events", [])[:EVENTS])
    return Snapshot(at, deployments, found.get("status") == "ACTIVE", events)


def deployment(found: Mapping[str, Any]) -> Deployment:
    """Return one entry of a service's deployments."""
    return Deployment(
        id=str(found["id"]),
        status=str(found.get("status", "")),
        rollout=str(found.get("rolloutState", "")),
        task_definition=str(found.get("taskDefinition", "")),
        reason=str(found.get("rolloutStateReason", "")),
        desired=int(found.get("desiredCount", 0)),
        running=int(found.get("runningCount", 0)),
        pending=int(found.get("pendingCount", 0)),
        failed=int(found.get("failedTasks", 0)),
    )
