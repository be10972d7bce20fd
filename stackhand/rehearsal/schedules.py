"""What the schedules of a rehearsal start: each release sets it, and a failed one leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stackhand.cli.failure import Failure
from stackhand.rehearsal.emulator import Emulator
from stackhand.release.ecs.task_definitions import ScheduleState
from stackhand.release.target import short


def revisions(aws: Emulator, jobs: Iterable[str], prefix: str) -> dict[str, str]:
    """Return the revision that the schedule of each job starts.

    Args:
        aws: the emulator.
        jobs: those with a schedule, by their names.
        prefix: of the environment's resources, and the name of its group of schedules.

    Raises:
        Failure: a schedule starts no release.
    """
    found = {}
    for job in jobs:
        state = ScheduleState(_schedule(aws, job, prefix))
        if not state.released:
            starts = short(state.definition) if state.exists else "no task, for the emulator does not have it"
            raise Failure(
                f"The release runs, and the schedule of {job} does not start it.", evidence=[f"it starts {starts}"]
            )
        found[job] = short(state.released)
    return found


def require_unchanged(before: dict[str, str], after: dict[str, str]) -> None:
    """Go on only when a failed release has left all schedules as they were.

    Raises:
        Failure: one starts something else.
    """
    changed = [f"{job}: {starts} -> {after[job]}" for job, starts in before.items() if after[job] != starts]
    if changed:
        raise Failure("A release that failed has changed what schedules start.", evidence=changed)


def _schedule(aws: Emulator, name: str, group: str) -> dict[str, Any]:
    """Return GetSchedule's answer; empty without one."""
    scheduler = aws.client("scheduler")
    try:
        return dict(scheduler.get_schedule(Name=name, GroupName=group))
    except scheduler.exceptions.ResourceNotFoundException:
        return {}
