"""The tasks of one deployment that did not stay, and what that tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stackhand.release.verdict import Order

NEWEST = 3
KILLED = 137
BATCH = 100

HINTS: tuple[tuple[str, str], ...] = (
    (
        r"CannotPull|pull image|manifest unknown|not found: manifest|ImageNotFound",
        "the image cannot be pulled: is it in ECR, and may the execution role read it?",
    ),
    (
        r"AccessDenied.*(ssm|secretsmanager|kms)|unable to (pull|retrieve) secret|ResourceInitializationError.*secret",
        "a secret cannot be read: the execution role needs ssm:GetParameters and kms:Decrypt on it",
    ),
    (r"OutOfMemory|OOM", "it ran out of memory: raise x-aws.memory in docker-compose.yml"),
    (
        r"failed (ELB|container) health checks|Target\.(Timeout|ResponseCodeMismatch|FailedHealthChecks)|health check",
        "it runs but does not pass its health check: does x-health answer 200 at x-aws.port?",
    ),
    (r"exec format error", "the image is for another processor: its architecture is not that of the task definition"),
    (r"no such file or directory|executable file not found", "the command of the container is not in its image"),
    (r"ResourceInitializationError.*log", "the log group is missing, or the execution role may not write to it"),
    (
        r"unable to place|RESOURCE:|insufficient capacity|Capacity is unavailable",
        "AWS has no place for the task right now: try again, or add subnets",
    ),
)


@dataclass(frozen=True)
class Stopped:
    """A task that stopped.

    Args:
        id: of ECS.
        code: its stop code.
        reason: why, in ECS's words.
        containers: name, exit code and reason of each.
    """

    id: str
    code: str
    reason: str
    containers: tuple[tuple[str, int | None, str], ...]

    def words(self) -> list[str]:
        """Return it as lines of a report."""
        head = f"task {self.id[:12]} {self.code or 'stopped'}: {self.reason or 'no reason given'}"
        return [head] + [
            f"  container {name}: exit code {'none' if code is None else code}{f', {reason}' if reason else ''}"
            for name, code, reason in self.containers
        ]


def newest(ecs: Any, cluster: str, service: str, order: Order) -> list[Stopped]:
    """Return the newest stopped tasks of the deployment we ordered, and of no other."""
    arns: list[str] = ecs.list_tasks(cluster=cluster, serviceName=service, desiredStatus="STOPPED").get("taskArns", [])
    found: list[dict[str, Any]] = []
    for start in range(0, len(arns), BATCH):
        found += ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + BATCH])["tasks"]
    ours = [each for each in found if is_of(each, order)]
    ours.sort(key=lambda each: str(each.get("stoppedAt") or each.get("createdAt") or ""), reverse=True)
    return [_stopped(each) for each in ours[:NEWEST]]


def is_of(task: Mapping[str, Any], order: Order) -> bool:
    """Whether a task was started for the deployment we ordered: ECS says so, and an emulator only its definition."""
    started_by = str(task.get("startedBy", ""))
    if started_by.startswith("ecs-svc/"):
        return started_by == order.deployment
    return str(task.get("taskDefinitionArn", "")) == order.task_definition


def _stopped(task: Mapping[str, Any]) -> Stopped:
    containers = tuple(
        (str(each["name"]), each.get("exitCode"), str(each.get("reason") or "")) for each in task.get("containers", [])
    )
    number = str(task["taskArn"]).rpartition("/")[2]
    return Stopped(number, str(task.get("stopCode") or ""), str(task.get("stoppedReason") or ""), containers)


def hint(tasks: Sequence[Stopped], more: Sequence[str]) -> str:
    """Return the one thing that is worth to look at first; nothing when there is no telling."""
    text = "\n".join([*(line for task in tasks for line in task.words()), *more])
    for pattern, words in HINTS:
        if re.search(pattern, text, re.IGNORECASE):
            return words
    codes = [code for task in tasks for _, code, _ in task.containers if code is not None]
    if KILLED in codes:
        return "exit code 137: it was killed, most likely for its memory: raise x-aws.memory in docker-compose.yml"
    bad = next((code for code in codes if code), None)
    return "" if bad is None else f"exit code {bad}: its own log says why"
