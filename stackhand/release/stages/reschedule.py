"""The schedules of a release: once it runs and answers well, they start its jobs from then on.

Terraform owns when a job runs, and a release what, as with a service. A release that fails before has changed none.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from stackhand.aws.errors import failure, message_of
from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import Failure
from stackhand.release.context import Context
from stackhand.release.manifest import Manifest
from stackhand.release.stages import schedule
from stackhand.release.stages.report import unrecorded, unverified
from stackhand.release.stages.submit import fail_and_roll_back
from stackhand.release.target import Schedule, target_of


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
            updated = schedule.put(context, wanted, part.task_definition)
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
            state = schedule.ENABLED if schedule.is_released(part.previous) else schedule.DISABLED
            with suppress(Exception):  # what is reported is the schedule that could not be changed
                schedule.put(context, each, part.previous, state)
    what = f"the schedule of {name} cannot be changed"
    if not any(each.deployment for each in manifest.services.values()):
        return failure(f"Deploy of {manifest.commit[:12]} failed: {what}", error)
    return fail_and_roll_back(context, manifest, context.releases.current(), what, [message_of(error)])
