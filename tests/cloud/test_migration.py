"""The migration before a release: only the exit code of the container we mean lets it go on."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from stackhand.failure import ExitCode, Failure
from stackhand.release import target
from stackhand.release.migration import Migration
from stackhand.release.waiting import Interrupted
from tests.cloud.conftest import Cloud


def migration(cloud: Cloud, **more: Any) -> Migration:
    context = cloud.context
    where = target.parse(cloud.output)
    return Migration(context.ecs, context.cloudwatch, where, "api", context.clock, cloud.said.append, **more)


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
    assert cloud.said == ["001 applied", "done"]
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
    assert found.value.what == "The migration of api ended with exit code 4; no service was touched."
    assert found.value.evidence[-1] == "line 49"
    assert found.value.code == ExitCode.DEPLOY_FAILED
    assert cloud.world.updates() == 0


def test_a_container_without_an_exit_code_has_not_migrated_anything(cloud: Cloud) -> None:
    with pytest.raises(Failure) as found:
        run(cloud, migration=None, code="TaskFailedToStart")
    assert found.value.what == "The migration of api ended without an exit code; no service was touched."


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
    assert dataclasses.replace(migration(cloud), ecs=Ecs()).run(arn, "release-1") == []


def test_action_757_a_task_that_ecs_does_not_start_is_told_with_its_reason(cloud: Cloud) -> None:
    cloud.world.refusals = ["RESOURCE:MEMORY"] * 3
    with pytest.raises(Failure) as found:
        run(cloud)
    assert found.value.what == "The migration of api could not be started; no service was touched."
    assert found.value.evidence == ("RESOURCE:MEMORY  arn:cluster",)


def test_a_place_that_is_taken_for_a_moment_is_waited_for(cloud: Cloud) -> None:
    cloud.world.refusals = ["Capacity is unavailable at this time."]
    assert run(cloud) == []


@pytest.mark.parametrize("how", ["timeout", "interrupt"])
def test_one_that_does_not_end_is_stopped(cloud: Cloud, how: str) -> None:
    arn = cloud.world.services["shop-api"]["deployments"][0]["taskDefinition"]
    one = migration(cloud, timeout=1.0)
    if how == "interrupt":
        one.timeout = 60.0
        cloud.clock.interrupt_when = lambda: bool(cloud.world.tasks)
    with pytest.raises(Failure if how == "timeout" else Interrupted):
        one.run(arn, "release-1")
    stopped = [task for task in cloud.world.tasks.values() if task["stopCode"] == "UserInitiated"]
    assert len(stopped) == 1
