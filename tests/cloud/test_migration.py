"""The migration before a release: only the exit code of the container we mean lets it go on."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stackhand.cli.failure import ExitCode, Failure
from stackhand.release import target
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.ecs.job_task import Migration
from tests.cloud.conftest import Cloud
from tests.cloud.fake_refusals import Lost, Refused


def migration(cloud: Cloud, **more: Any) -> Migration:
    context = cloud.context
    where = target.parse(cloud.output)
    return Migration(
        Cluster(context.ecs, where.cluster), context.cloudwatch, where, "api", context.clock, cloud.said.append, **more
    )


def run(cloud: Cloud, commit: str = "new", containers: list[dict[str, Any]] | None = None, **outcome: Any) -> list[str]:
    """Run the migration of an image that does what the outcome says."""
    digest = cloud.image(commit, **outcome)["api"]
    definition = target.parse(cloud.output).services["api"].task_definition
    definition["containerDefinitions"][0]["image"] = f"registry/api@{digest}"
    definition["containerDefinitions"] += containers or []
    arn = cloud.world.register_task_definition(definition)["taskDefinition"]["taskDefinitionArn"]
    return migration(cloud).run(arn, "release-1")


def test_a_migration_that_ends_with_0_goes_on_and_its_log_is_told(cloud: Cloud) -> None:
    assert run(cloud, log=("001 applied", "done")) == ["001 applied", "done"]
    assert cloud.said == ["running for 0 s, done", "running for 1 s, done", "running for 2 s, done"]
    words = next(words for name, words in cloud.world.calls if name == "RunTask")
    assert words["overrides"]["containerOverrides"] == [
        {"name": "api", "command": ["python", "-m", "service", "migrate"]}
    ]
    assert words["startedBy"] == "release-1"


def test_pulumi_1371_one_that_has_stopped_before_anybody_saw_it_run_is_no_failure(cloud: Cloud) -> None:
    cloud.world.tick = 10.0
    assert run(cloud) == []


def test_a_migration_that_fails_shows_its_code_and_the_end_of_its_log(cloud: Cloud) -> None:
    with pytest.raises(Failure) as found:
        run(cloud, migration=4, log=tuple(f"line {number}" for number in range(50)))
    assert found.value.what == "The migration of api ended with exit code 4; no service was changed."
    assert found.value.evidence[-1] == "line 49"
    assert found.value.code == ExitCode.DEPLOY_FAILED
    assert cloud.world.updates() == 0


def test_one_whose_role_is_seconds_old_is_started_once_iam_knows_it(cloud: Cloud) -> None:
    cloud.world.errors["RunTask"] = [Refused("ClientException", "ECS was unable to assume the role 'x'.")] * 2
    assert run(cloud) == []
    assert cloud.said[0].startswith("not started yet: ClientException: ECS was unable to assume the role 'x'.")
    assert [name for name, _ in cloud.world.calls].count("RunTask") == 3


def test_a_container_without_an_exit_code_has_not_migrated_anything(cloud: Cloud) -> None:
    with pytest.raises(Failure) as found:
        run(cloud, migration=None, code="TaskFailedToStart")
    assert found.value.what == "The migration of api ended without an exit code; no service was changed."


def test_sil_the_first_container_is_not_the_one_that_is_asked(cloud: Cloud) -> None:
    sidecar = {"name": "a-sidecar", "image": "somebody/else:1"}
    arn = ""

    class Ecs:
        """ECS, where the sidecar always fails."""

        def __getattr__(self, name: str) -> Any:
            return getattr(cloud.context.ecs, name)

        def describe_tasks(self, **words: Any) -> Any:
            answer = cloud.context.ecs.describe_tasks(**words)
            containers = answer["tasks"][0]["containers"]
            containers.sort(key=lambda each: each["name"])
            containers[0]["exitCode"] = 1
            return answer

    digest = cloud.image("new")["api"]
    definition = target.parse(cloud.output).services["api"].task_definition
    definition["containerDefinitions"][0]["image"] = f"registry/api@{digest}"
    definition["containerDefinitions"].append(sidecar)
    arn = cloud.world.register_task_definition(definition)["taskDefinition"]["taskDefinitionArn"]
    assert dataclasses.replace(migration(cloud), cluster=Cluster(Ecs(), "shop-staging")).run(arn, "release-1") == []


def test_action_757_a_task_that_ecs_does_not_start_is_told_with_its_reason(cloud: Cloud) -> None:
    cloud.world.refusals = ["RESOURCE:MEMORY"] * 3
    with pytest.raises(Failure) as found:
        run(cloud)
    assert found.value.what == "The migration of api could not be started; no service was changed."
    assert found.value.evidence == ("RESOURCE:MEMORY  arn:cluster",)


def test_a_place_that_is_taken_for_a_moment_is_waited_for(cloud: Cloud) -> None:
    cloud.world.refusals = ["Capacity is unavailable at this time."]
    assert run(cloud) == []


TASK = "aws ecs stop-task --cluster shop-staging --task "


@pytest.mark.parametrize("stops", [True, False], ids=["stopped", "goes on"])
@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("timeout", ExitCode.DEPLOY_FAILED, "The migration of api did not end within 1 s, and "),
        ("interrupt", ExitCode.INTERRUPTED, "The migration of api was interrupted, and "),
        ("expired", ExitCode.DEPLOY_FAILED, "The migration of api can no longer be watched, and "),
    ],
)
def test_a_task_that_nobody_waits_for_is_stopped_or_named(
    cloud: Cloud, how: str, code: ExitCode, words: str, stops: bool
) -> None:
    one = migration(cloud, timeout=1.0 if how == "timeout" else 60.0)
    if how == "interrupt":
        cloud.clock.interrupt_when = lambda: bool(cloud.world.tasks)
    if how == "expired":
        cloud.world.fail("DescribeTasks", "ExpiredTokenException")
    if not stops:
        cloud.world.fail("StopTask", "AccessDeniedException")
    with pytest.raises(Failure) as found:
        one.run(cloud.world.services["shop-api"]["deployments"][0]["taskDefinition"], "release-1")
    [task] = cloud.world.tasks.values()
    number = task["taskArn"].rpartition("/")[2]
    end = "was stopped" if stops else f"may continue (AccessDeniedException: says the test); {TASK}{number} stops it"
    assert (found.value.what, found.value.code) == (f"{words}{end}; no service was changed.", code)
    assert found.value.evidence[0] == f"task {task['taskArn']}"
    assert (task.get("stopCode") == "UserInitiated") == stops


def test_a_log_that_cannot_be_read_does_not_end_the_wait(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        error = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
        raise ClientError(error, "GetLogEvents")  # type: ignore[arg-type]

    monkeypatch.setattr(cloud.context.cloudwatch, "get_log_events", refuse)
    assert run(cloud) == ["(its log cannot be read: AccessDeniedException)"]


def test_a_task_whose_start_is_never_answered_is_stopped(cloud: Cloud) -> None:
    cloud.world.errors["RunTask"] = [Lost(), *[Refused("ServerException", status=500)] * 100]
    with pytest.raises(Failure, match="could not be started") as found:
        run(cloud)
    [task] = cloud.world.tasks.values()
    assert task["stopCode"] == "UserInitiated"
    assert f"ECS had started the task {task['taskArn']}; it was stopped" in found.value.evidence


def test_a_throttled_stop_is_repeated(cloud: Cloud) -> None:
    cloud.world.fail("StopTask", "ThrottlingException", 9)
    with pytest.raises(Failure, match="did not end within 1 s, and was stopped"):
        migration(cloud, timeout=1.0).run(cloud.world.services["shop-api"]["deployments"][0]["taskDefinition"], "r-1")


def test_a_task_whose_start_was_never_answered_is_not_started_twice(cloud: Cloud) -> None:
    class Ecs:
        """ECS, whose first answers are lost."""

        lost = 2

        def __getattr__(self, name: str) -> Any:
            return getattr(cloud.context.ecs, name)

        def run_task(self, **words: Any) -> Any:
            answer = cloud.context.ecs.run_task(**words)
            self.lost -= 1
            if self.lost >= 0:
                raise ClientError({"Error": {"Code": "ServerException", "Message": "gone"}}, "RunTask")  # type: ignore[arg-type]
            return answer

    arn = cloud.world.services["shop-api"]["deployments"][0]["taskDefinition"]
    assert dataclasses.replace(migration(cloud), cluster=Cluster(Ecs(), "shop-staging")).run(arn, "release-1") == []
    assert len(cloud.world.tasks) == 1
