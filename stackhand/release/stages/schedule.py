"""Schedules of EventBridge Scheduler: what each starts, and how it is told to start something else."""

from __future__ import annotations

from functools import partial
from typing import Any

from stackhand.aws.errors import code_of
from stackhand.release.context import Context
from stackhand.release.target import Schedule, short

ENABLED, DISABLED = "ENABLED", "DISABLED"
NOT_FOUND = "ResourceNotFoundException"
KEPT = (
    *("Name", "GroupName", "Description", "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "EndDate"),
    *("FlexibleTimeWindow", "KmsKeyArn", "ActionAfterCompletion"),
)
"""What UpdateSchedule has to be given again: it takes what is left out for empty."""


class ScheduleState:
    """A schedule as AWS has it.

    Args:
        answer: of GetSchedule; empty when there is no such schedule.
    """

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.exists = bool(answer)
        parameters = (answer.get("Target") or {}).get("EcsParameters") or {}
        self.definition = str(parameters.get("TaskDefinitionArn") or "")

    @property
    def released(self) -> str:
        """The task definition that it starts; empty before the first release, for Terraform makes it without any."""
        enabled = self.answer.get("State") == ENABLED and is_released(self.definition)
        return self.definition if enabled else ""


def is_released(definition: str) -> bool:
    """Whether an ARN names a revision, as a release does, and not only the family."""
    return ":" in short(definition)


def ask(context: Context, schedule: Schedule) -> ScheduleState:
    """Return a schedule as AWS has it."""
    scheduler = context.environment.client("scheduler")
    try:
        answer = context.retry(partial(scheduler.get_schedule, Name=schedule.name, GroupName=schedule.group))
    except Exception as error:
        if code_of(error) != NOT_FOUND:
            raise
        return ScheduleState({})
    return ScheduleState({key: value for key, value in answer.items() if key != "ResponseMetadata"})


def put(context: Context, schedule: Schedule, definition: str, state: str = ENABLED) -> bool:
    """Have a schedule start a task definition, and return whether there is such a schedule."""
    current = ask(context, schedule)
    if not current.exists:
        return False
    target = current.answer["Target"]
    target = {**target, "EcsParameters": {**target["EcsParameters"], "TaskDefinitionArn": definition}}
    kept = {key: current.answer[key] for key in KEPT if current.answer.get(key)}
    scheduler = context.environment.client("scheduler")
    context.retry(partial(scheduler.update_schedule, **kept, Target=target, State=state))
    return True
