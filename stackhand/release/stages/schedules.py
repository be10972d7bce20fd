"""The schedules of a release: what each starts, by EventBridge Scheduler.

Once a release runs and answers well, they start its jobs from then on. Terraform owns when a job runs, and a release
what, as with a service. A release that fails before has changed none.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from stackhand.aws.errors import code_of, failure, message_of
from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import Failure
from stackhand.release.context import Context
from stackhand.release.manifest import Manifest
from stackhand.release.stages.report import unrecorded, unverified
from stackhand.release.stages.rollback import fail_and_roll_back
from stackhand.release.target import Schedule, short, target_of

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


def update(context: Context, manifest: Manifest) -> Manifest:
    """Have the schedules start the jobs of a release, and return it with those that were changed.

    Raises:
        Failure: one cannot be changed; everything of the release is taken back.
    """
    for name, wanted in _schedules(manifest).items():
        part = manifest.scheduled[name]
        if part.same:
            continue
        try:
            context.require_lease()
            updated = put(context, wanted, part.task_definition)
        except Failure as error:
            raise unrecorded(manifest, error) from error
        except Interrupted:
            raise unverified(manifest) from None
        except Exception as error:
            context.clock.check()  # an interrupt ends the retries
            raise _taken_back(context, manifest, name, error) from error
        if not updated:
            context.note(f"{name}: there is no schedule {wanted.name}, so nothing starts it")
        changed = msgspec.structs.replace(part, updated=updated)
        manifest = manifest.but(scheduled={**manifest.scheduled, name: changed})
    return manifest


def _schedules(manifest: Manifest) -> dict[str, Schedule]:
    jobs = target_of(manifest).jobs
    return {name: each for name in manifest.scheduled if (each := jobs[name].schedule)}


def _taken_back(context: Context, manifest: Manifest, name: str, error: Exception) -> Failure:
    """Return the schedules that were changed to what they started before, then the services, and say why."""
    for other, each in _schedules(manifest).items():
        part = manifest.scheduled[other]
        if part.updated:
            state = ENABLED if is_released(part.previous) else DISABLED
            with suppress(Exception):  # what is reported is the schedule that could not be changed
                put(context, each, part.previous, state)
    what = f"the schedule of {name} cannot be changed"
    if not manifest.ordered:
        return failure(f"Deploy of {manifest.commit[:12]} failed: {what}", error)
    return fail_and_roll_back(context, manifest, context.releases.current(), what, [message_of(error)])
