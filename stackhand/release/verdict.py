"""How a rollout ended: a pure function of what DescribeServices showed, one snapshot after the other.

It looks for the deployment that UpdateService returned, and never for a service that is merely stable: a service is
stable as well after ECS has gone back, or after somebody else has deployed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

SETTLES = 30.0
"""Seconds after which two answers of ECS that contradict each other are no delay of its own any more."""

PRIMARY, IN_PROGRESS, COMPLETED, FAILED = "PRIMARY", "IN_PROGRESS", "COMPLETED", "FAILED"


class Verdict(StrEnum):
    """How a rollout, or the release of several services together, ended."""

    DEPLOYED = "deployed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    STILL_ROLLING = "still_rolling"


@dataclass(frozen=True)
class Deployment:
    """One entry of a service's `deployments`.

    Args:
        id: of ECS.
        status: PRIMARY, ACTIVE or INACTIVE.
        rollout: IN_PROGRESS, COMPLETED or FAILED.
        task_definition: its ARN.
        reason: why the rollout is in that state.
        desired: tasks there are to be.
        running: tasks there are.
        pending: tasks on their way.
        failed: tasks that did not stay.
    """

    id: str
    status: str
    rollout: str
    task_definition: str
    reason: str = ""
    desired: int = 0
    running: int = 0
    pending: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Snapshot:
    """What DescribeServices showed of one service.

    Args:
        at: seconds since UpdateService returned.
        deployments: in ECS's order, which means nothing.
        active: whether the service exists.
        events: the messages of its events, newest first.
    """

    at: float
    deployments: tuple[Deployment, ...] = ()
    active: bool = True
    events: tuple[str, ...] = ()

    @property
    def primary(self) -> Deployment | None:
        """The deployment that ECS works towards: known by its status, for the order of the list means nothing."""
        return next((each for each in self.deployments if each.status == PRIMARY), None)

    def deployment(self, number: str) -> Deployment | None:
        """Return a deployment by its id."""
        return next((each for each in self.deployments if each.id == number), None)


@dataclass(frozen=True)
class DeploymentRequest:
    """What we asked ECS for.

    Args:
        deployment: the id that UpdateService returned.
        task_definition: the ARN we gave.
        before: the deployments that were there before, as id and task definition.
        returns: whether ECS goes back by itself when the deployment fails.
        timeout: seconds after which we stop waiting.
        stays: seconds for which all tasks must run once it has completed; 0 where ECS checks their health.
    """

    deployment: str
    task_definition: str
    before: tuple[tuple[str, str], ...] = ()
    returns: bool = True
    timeout: float = 900.0
    stays: float = 0.0


@dataclass
class _Memory:
    ours: str
    seen: bool = False
    failed_at: float | None = None
    gone_at: float | None = None
    missing: int = 0
    running: int = 0
    up_since: float | None = None
    losses: int = 0
    known: dict[str, str] = field(default_factory=dict)


def decide(request: DeploymentRequest, snapshots: Sequence[Snapshot]) -> Verdict | None:
    """Return how the rollout ended; None while it has not, and its timeout is not over.

    The first snapshot that decides is final: what comes after it belongs to somebody else.
    """
    memory = _Memory(request.deployment, known=dict(request.before))
    for snapshot in snapshots:
        verdict = _judge(request, snapshot, memory)
        if verdict is None and snapshot.at >= request.timeout:
            verdict = Verdict.STILL_ROLLING
        if verdict is not None:
            return verdict
    return None


def failing(request: DeploymentRequest, snapshots: Sequence[Snapshot]) -> bool:
    """Whether our deployment has failed already, though its end may not be known: ECS may be rolling back."""
    return any(_failed(each, request.deployment) for each in snapshots)


def _judge(request: DeploymentRequest, snapshot: Snapshot, memory: _Memory) -> Verdict | None:
    memory.missing = 0 if snapshot.active else memory.missing + 1
    if memory.missing > 1:  # once may be a replica of ECS that lags behind
        return Verdict.FAILED
    primary = snapshot.primary
    if primary is None:
        return None
    if memory.failed_at is None and _failed(snapshot, memory.ours):
        memory.failed_at = snapshot.at
    if _same_release(request, primary, memory):
        memory.ours = primary.id
    memory.seen |= snapshot.deployment(memory.ours) is not None
    if primary.id == memory.ours:
        return _judge_primary(request, primary, snapshot, memory)
    return _judge_other(primary, snapshot, memory)


def _same_release(request: DeploymentRequest, primary: Deployment, memory: _Memory) -> bool:
    """Whether a newer deployment rolls out the very task definition that we gave: then it is ours to follow."""
    return (
        primary.id not in {memory.ours, *memory.known}
        and primary.task_definition == request.task_definition
        and memory.failed_at is None
        and not _says_rollback(primary)
    )


def _failed(snapshot: Snapshot, ours: str) -> bool:
    failed = snapshot.deployment(ours)
    if failed is not None and failed.rollout == FAILED:
        return True
    return any(ours in message and "deployment failed" in message for message in snapshot.events)


def _judge_primary(request: DeploymentRequest, ours: Deployment, snapshot: Snapshot, memory: _Memory) -> Verdict | None:
    memory.gone_at = None
    if memory.failed_at is None:
        return _judge_completed(request, ours, snapshot, memory) if ours.rollout == COMPLETED else None
    settled = snapshot.at - memory.failed_at >= SETTLES
    return None if request.returns and not settled else Verdict.FAILED


def _judge_completed(
    request: DeploymentRequest, ours: Deployment, snapshot: Snapshot, memory: _Memory
) -> Verdict | None:
    """Judge a deployment that has completed: without a health check ECS takes any task that has started for a good one.

    One task may be lost, as AWS takes back one on Spot; a second one means that tasks end by themselves.
    """
    memory.losses += ours.running < min(memory.running, ours.desired)
    memory.running = ours.running
    if request.stays and memory.losses > 1:
        return Verdict.FAILED
    if ours.running < ours.desired:
        memory.up_since = None
    elif memory.up_since is None:
        memory.up_since = snapshot.at
    since = snapshot.at if memory.up_since is None else memory.up_since
    return Verdict.DEPLOYED if snapshot.at - since >= request.stays else None


def _judge_other(primary: Deployment, snapshot: Snapshot, memory: _Memory) -> Verdict | None:
    """Judge while another deployment than ours is the primary one."""
    known = primary.id in memory.known
    goes_back = known or primary.task_definition in memory.known.values() or _says_rollback(primary)
    if memory.failed_at is not None or _says_rollback(primary):
        returned = {COMPLETED: Verdict.ROLLED_BACK, FAILED: Verdict.FAILED}
        return returned.get(primary.rollout) if goes_back else Verdict.SUPERSEDED
    if not known:
        return Verdict.SUPERSEDED
    # The old deployment, and no word of a failure of ours: ECS lags behind, for a while.
    listed = snapshot.deployment(memory.ours) is not None
    if not memory.seen or listed or primary.rollout != COMPLETED:
        memory.gone_at = None
        return None
    memory.gone_at = snapshot.at if memory.gone_at is None else memory.gone_at
    return Verdict.ROLLED_BACK if snapshot.at - memory.gone_at >= SETTLES else None


def _says_rollback(primary: Deployment) -> bool:
    return "rolling back" in primary.reason or "rollback" in primary.reason


def together(verdicts: Sequence[Verdict | None]) -> Verdict | None:
    """Return the verdict on services that belong together; None while more of them have to end.

    Somebody else's deployment ends it, and so does the first one that fails: there is nothing to wait for.
    """
    if Verdict.SUPERSEDED in verdicts:
        return Verdict.SUPERSEDED
    if Verdict.FAILED in verdicts or Verdict.ROLLED_BACK in verdicts:
        return Verdict.FAILED
    if None in verdicts:
        return None
    return Verdict.STILL_ROLLING if Verdict.STILL_ROLLING in verdicts else Verdict.DEPLOYED
