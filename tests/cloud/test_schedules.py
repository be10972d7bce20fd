"""Jobs with a schedule: what each starts is released and brought back with the services, and a person may start it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import environments
from stackhand.release import jobs, target
from stackhand.release.manifest import Manifest
from stackhand.release.stages import migration, preflight, prepare, rollout, verification
from tests.cloud.conftest import Cloud
from tests.cloud.fake_ecs import definition
from tests.cloud.fake_rollout import ACCOUNT, REGION, Outcome

JOBS = ("nightly", "hourly")


@pytest.fixture
def scheduled(held: Cloud) -> Cloud:
    """An environment with two jobs whose schedules are as Terraform makes them."""
    scheduler, group = held.environment.client("scheduler"), held.environment.stack
    scheduler.create_schedule_group(Name=group)
    api = held.output["services"]["api"]
    held.output["jobs"] = {}
    for name in JOBS:
        task = {key: api[key] for key in ("subnets", "security_groups", "log_stream_prefix")}
        schedule = {"name": name, "group": group, "expression": "rate(1 day)"}
        own = {"container": name, "task_definition": definition(name, "IMAGE"), "log_group": f"/shop/{name}"}
        held.output["jobs"][name] = {**task, **own, "image_of": "api", "schedule": schedule}
        scheduler.create_schedule(
            Name=name,
            GroupName=group,
            Description=f"The job {name}",
            ScheduleExpression="rate(1 day)",
            FlexibleTimeWindow={"Mode": "OFF"},
            State="DISABLED",
            Target={
                "Arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/shop-staging",
                "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/shop-schedule",
                "EcsParameters": {"TaskDefinitionArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/shop-{name}"},
                "RetryPolicy": {"MaximumRetryAttempts": 3},
            },
        )
    return held


def release(cloud: Cloud, commit: str, **outcome: Any) -> Manifest:
    """Release a commit as deploy.yml does."""
    context, digests = cloud.context, cloud.image(commit, **outcome)
    manifest = prepare.prepare(context, target.parse(cloud.output), digests, commit, [])
    migration.migrate(context, manifest)
    return finish(cloud, manifest)


def finish(cloud: Cloud, manifest: Manifest) -> Manifest:
    """Do what all playbooks of a release end with."""
    manifest = rollout.roll(cloud.context, manifest, cloud.context.releases.current())
    verification.probe(cloud.context, manifest)
    return verification.record(cloud.context, verification.update_schedules(cloud.context, manifest))[1]


def states(cloud: Cloud) -> dict[str, tuple[str, str]]:
    """Return the state of each schedule, and the revision that it starts; a family without one where there is none."""
    scheduler, found = cloud.environment.client("scheduler"), {}
    for name in JOBS:
        schedule = scheduler.get_schedule(Name=name, GroupName=cloud.environment.stack)
        assert schedule["ScheduleExpression"] == "rate(1 day)"
        assert schedule["Description"] == f"The job {name}"
        assert schedule["Target"]["RetryPolicy"] == {"MaximumRetryAttempts": 3}
        found[name] = schedule["State"], target.short(schedule["Target"]["EcsParameters"]["TaskDefinitionArn"])
    return found


def enabled(revision: int) -> dict[str, tuple[str, str]]:
    return {name: ("ENABLED", f"shop-{name}:{revision}") for name in JOBS}


def test_a_schedule_starts_what_was_released_and_what_was_brought_back(scheduled: Cloud) -> None:
    first = release(scheduled, "first")
    assert states(scheduled) == enabled(1)
    image = scheduled.world.definitions[first.scheduled["nightly"].task_definition]["containerDefinitions"][0]["image"]
    assert image == first.services["api"].image
    assert release(scheduled, "first") == first
    with pytest.raises(Failure, match="first runs again everywhere"):
        release(scheduled, "second", kind="fails", exit=1)
    assert states(scheduled) == enabled(1)
    release(scheduled, "third")
    assert states(scheduled) == enabled(3)
    back = finish(scheduled, prepare.prepare_rollback(scheduled.context, first))
    assert states(scheduled) == enabled(1)
    assert back.verdict == "deployed"


def test_a_schedule_that_cannot_be_changed_takes_the_release_back(
    scheduled: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(scheduled, "first")
    put = verification.set_schedule

    def refuse(context: Any, each: target.Schedule, definition: str, *more: str) -> bool:
        if each.name == "hourly":
            raise PermissionError("scheduler:UpdateSchedule")
        return put(context, each, definition, *more)

    monkeypatch.setattr(verification, "set_schedule", refuse)
    with pytest.raises(Failure) as found:
        release(scheduled, "second")
    assert found.value.code == ExitCode.ROLLED_BACK
    assert "the schedule of hourly cannot be changed; first runs again everywhere" in found.value.what
    assert states(scheduled) == enabled(1)


def test_a_schedule_that_is_gone_is_found_before_a_release(scheduled: Cloud) -> None:
    scheduled.environment.client("scheduler").delete_schedule(Name="hourly", GroupName=scheduled.environment.stack)
    check = preflight.Preflight(scheduled.environment, target.parse(scheduled.output), {})
    assert [*check.schedules()] == [f"hourly: there is no schedule hourly in the group {scheduled.environment.stack}"]


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_is_run_by_hand_as_it_was_released(
    scheduled: Cloud, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "load", lambda _name: scheduled.environment)
    first = release(scheduled, "first")
    outcome = Outcome(migration=code, log=("three orders", "done"))
    scheduled.world.outcomes[first.services["api"].image.partition("@")[2]] = outcome
    scheduled.world.tick = 10.0
    failing = pytest.raises(Failure, match=r"The job nightly ended with exit code 3\.$") if code else nullcontext()
    with failing as found:
        jobs.run("nightly", environment="staging")
    assert [line for line in capsys.readouterr().out.splitlines() if "three orders" in line]
    assert found is None or (found.value.code, found.value.evidence[-1]) == (ExitCode.FAILED, "done")
    started = [words for name, words in scheduled.world.calls if name == "RunTask"][-1]
    assert started["taskDefinition"] == first.scheduled["nightly"].task_definition
    assert started["overrides"] == {}


@pytest.mark.parametrize("call", ["RunTask", "DescribeTasks"], ids=["started", "watched"])
def test_a_job_that_cannot_be_run_by_hand_says_how_to_run_it_again(
    scheduled: Cloud, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "load", lambda _name: scheduled.environment)
    release(scheduled, "first")
    scheduled.world.fail(call, "ExpiredTokenException", 9)
    with pytest.raises(
        Failure, match=r"^The job nightly could not be started: |^The job nightly can no longer"
    ) as found:
        jobs.run("nightly", environment="staging")
    assert "no service was changed" not in found.value.what
    assert found.value.next.endswith(", then ./inv run nightly -e staging")
