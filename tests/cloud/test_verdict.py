"""How a rollout ended, from recorded sequences: each mistake reported of another tool has its case here."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from stackhand.release.verdict import Deployment, DeploymentRequest, Snapshot, Verdict, decide, failing, together

NEW, OLD, OTHER = "td/api:8", "td/api:7", "td/api:9"
ORDER = DeploymentRequest("ours", NEW, before=(("old", OLD),), timeout=600.0)
BACK = "ECS deployment circuit breaker: rolling back to deploymentId old."


def deployment(number: str, status: str, rollout: str, definition: str = NEW, **more: object) -> Deployment:
    return Deployment(number, status, rollout, definition, **more)  # type: ignore[arg-type]


def seen(*moments: tuple[Deployment, ...], every: float = 10.0, **more: object) -> list[Snapshot]:
    return [
        Snapshot(number * every, deployments, **more)  # type: ignore[arg-type]
        for number, deployments in enumerate(moments)
    ]


OURS = deployment("ours", "PRIMARY", "IN_PROGRESS", desired=2, running=1)
DONE = deployment("ours", "PRIMARY", "COMPLETED", desired=2, running=2)
BROKEN = deployment("ours", "ACTIVE", "FAILED", failed=3)
ENDED = deployment("old", "ACTIVE", "COMPLETED", OLD)
STALE = (deployment("old", "PRIMARY", "COMPLETED", OLD),)
RETURNS = deployment("back", "PRIMARY", "IN_PROGRESS", OLD, reason=BACK)
RETURNED = deployment("back", "PRIMARY", "COMPLETED", OLD, reason=BACK)
THEIRS = deployment("theirs", "PRIMARY", "IN_PROGRESS", OTHER)
ROLLING = (OURS, ENDED)
STANDS_BY = (*STALE, replace(OURS, status="ACTIVE"))
TWIN = deployment("twin", "PRIMARY", "IN_PROGRESS")

CASES: dict[str, tuple[list[Snapshot], Verdict | None]] = {
    "a rollout that completed": (seen(ROLLING, ROLLING, (DONE,)), Verdict.DEPLOYED),
    "a deployment that is there at once, for nothing had to be done": (seen((DONE,)), Verdict.DEPLOYED),
    "action #838: all tasks run, and the rollout is still in progress": (
        seen((replace(OURS, running=2),), (replace(OURS, running=2),)),
        None,
    ),
    "action #191, #494: stable again, on the release before": (
        seen(ROLLING, (BROKEN, RETURNS), (RETURNED,)),
        Verdict.ROLLED_BACK,
    ),
    "fabfuel #185: the primary deployment is well, and it is not ours": (
        seen(ROLLING, (RETURNED, BROKEN)),
        Verdict.ROLLED_BACK,
    ),
    "sil #224: one deployment is left, the one that ECS went back to": (
        seen(ROLLING, (RETURNS, BROKEN), (RETURNED,)),
        Verdict.ROLLED_BACK,
    ),
    "ecspresso #732: the rollback was successful, so the deployment was not": (
        seen((BROKEN, RETURNED)),
        Verdict.ROLLED_BACK,
    ),
    "ecspresso #899, #929: one update became two deployments of what we gave": (
        seen(ROLLING, (deployment("twin", "PRIMARY", "COMPLETED"), replace(OURS, status="ACTIVE"))),
        Verdict.DEPLOYED,
    ),
    "argos #2390: somebody else deployed, and nothing failed": (
        seen(ROLLING, (replace(OURS, status="ACTIVE"), THEIRS)),
        Verdict.SUPERSEDED,
    ),
    "somebody else deployed, and ours is drained already": (seen(ROLLING, (THEIRS,)), Verdict.SUPERSEDED),
    "ours failed, and then somebody else deployed": (seen(ROLLING, (BROKEN, THEIRS)), Verdict.SUPERSEDED),
    "copilot #4838: ECS goes back with a deployment of its own": (seen(ROLLING, (BROKEN, RETURNS)), None),
    "going back fails as well": (
        seen(ROLLING, (BROKEN, replace(RETURNS, rollout="FAILED"))),
        Verdict.FAILED,
    ),
    "copilot #5296: it failed, and ECS never goes back": (
        seen(*[(replace(BROKEN, status="PRIMARY"),)] * 5),
        Verdict.FAILED,
    ),
    "it failed, and ECS is about to go back": (seen(ROLLING, (replace(BROKEN, status="PRIMARY"), ENDED)), None),
    "kortix #7420, archimedes #1532: slow is not broken": (seen(*[ROLLING] * 61), Verdict.STILL_ROLLING),
    "boxel #5947: completed at the very last look": (seen(*[ROLLING] * 60, (DONE,)), Verdict.DEPLOYED),
    "a task hangs, so that the circuit breaker never counts it": (
        seen(*[(replace(OURS, running=0, pending=2), ENDED)] * 61),
        Verdict.STILL_ROLLING,
    ),
    "ECS does not show our deployment yet": (seen(STALE, STALE, ROLLING, (DONE,)), Verdict.DEPLOYED),
    "ECS forgets our deployment for a moment": (seen(ROLLING, STALE, ROLLING, (DONE,)), Verdict.DEPLOYED),
    "ECS shows no deployment at all for a moment": (seen(ROLLING, (), (DONE,)), Verdict.DEPLOYED),
    "our deployment is gone for good, and nobody said that it failed": (
        seen(ROLLING, *[STALE] * 5),
        Verdict.ROLLED_BACK,
    ),
    "the old deployment is primary again, and ours is still listed": (seen(ROLLING, *[STANDS_BY] * 5), None),
    "our deployment is gone twice, and is listed in between": (seen(ROLLING, STALE, STANDS_BY, STALE, STALE), None),
    "our deployment is gone twice, and is primary in between": (seen(ROLLING, STALE, ROLLING, STALE, STALE), None),
    "our deployment is gone twice, the second time for good": (
        seen(ROLLING, STALE, ROLLING, *[STALE] * 4),
        Verdict.ROLLED_BACK,
    ),
    "our deployment is gone, and the old one is not ready": (
        seen(ROLLING, *[(deployment("old", "PRIMARY", "IN_PROGRESS", OLD),)] * 5),
        None,
    ),
    "ECS has never shown our deployment": (seen(*[STALE] * 5), None),
    "it failed, and ECS has gone back without a word of it": (
        seen(ROLLING, (BROKEN, deployment("back", "PRIMARY", "COMPLETED", OLD))),
        Verdict.ROLLED_BACK,
    ),
    "ECS goes back before it says that ours has failed": (seen(ROLLING, (RETURNS,)), None),
    "ECS has gone back, and never said that ours has failed": (seen(ROLLING, (RETURNED,)), Verdict.ROLLED_BACK),
    "it failed, and was seen once more just before ECS has to have gone back": (
        seen(ROLLING, *[(replace(BROKEN, status="PRIMARY"),)] * 3),
        None,
    ),
    "a twin of ours is rolling, and then it is gone for good": (
        seen(ROLLING, (TWIN, ENDED), *[STALE] * 4),
        Verdict.ROLLED_BACK,
    ),
    "a twin that comes after a failure is somebody else's": (seen(ROLLING, (BROKEN, TWIN)), Verdict.SUPERSEDED),
    "what we gave, as ECS's way back, is not ours to follow": (
        seen(ROLLING, (replace(TWIN, rollout="COMPLETED", reason=BACK),)),
        Verdict.ROLLED_BACK,
    ),
    "an emulator takes the old deployment for its rollback": (
        seen(
            ROLLING,
            (BROKEN, deployment("old", "PRIMARY", "IN_PROGRESS", OLD, reason="ECS deployment rollback in progress.")),
            (BROKEN, deployment("old", "PRIMARY", "COMPLETED", OLD, reason="ECS deployment completed.")),
        ),
        Verdict.ROLLED_BACK,
    ),
}


@pytest.mark.parametrize(("snapshots", "verdict"), CASES.values(), ids=CASES)
def test_a_recorded_rollout_has_its_verdict(snapshots: list[Snapshot], verdict: Verdict | None) -> None:
    assert decide(ORDER, snapshots) == verdict


DOWN = replace(DONE, running=1)
STAYING: dict[str, tuple[list[Snapshot], Verdict | None]] = {
    "not long enough yet": (seen((DONE,), (DONE,)), None),
    "long enough": (seen((DONE,), (DONE,), (DONE,)), Verdict.DEPLOYED),
    "a task is lost once, as on Spot": (seen((DONE,), (DOWN,), *[(DONE,)] * 3), Verdict.DEPLOYED),
    "a task is lost, and not there again": (seen((DONE,), *[(DOWN,)] * 5), None),
    "tasks end again and again": (seen((DONE,), (DOWN,), (DONE,), (DOWN,)), Verdict.FAILED),
    "scaled out meanwhile": (
        seen((DONE,), (replace(DONE, desired=3),), *[(replace(DONE, desired=3, running=3),)] * 3),
        Verdict.DEPLOYED,
    ),
}


@pytest.mark.parametrize(("snapshots", "verdict"), STAYING.values(), ids=STAYING)
def test_a_service_without_a_health_check_is_deployed_once_its_tasks_stay_up(
    snapshots: list[Snapshot], verdict: Verdict | None
) -> None:
    assert decide(replace(ORDER, stays=15.0), snapshots) == verdict


@pytest.mark.parametrize(("snapshots", "verdict"), CASES.values(), ids=CASES)
def test_the_order_in_which_ecs_lists_deployments_means_nothing(
    snapshots: list[Snapshot], verdict: Verdict | None
) -> None:
    for turned in permutations(range(2)):
        listed = [
            replace(each, deployments=tuple(each.deployments[i] for i in turned if i < len(each.deployments)))
            for each in snapshots
        ]
        assert decide(ORDER, listed) == verdict


def test_without_a_circuit_breaker_that_goes_back_a_failure_is_told_at_once() -> None:
    found = decide(replace(ORDER, returns=False), seen(ROLLING, (replace(BROKEN, status="PRIMARY"), ENDED)))
    assert found is Verdict.FAILED


def test_the_same_definition_again_is_not_taken_for_what_ecs_went_back_to() -> None:
    order = replace(ORDER, task_definition=OLD)  # only a secret was rotated
    ours = deployment("ours", "PRIMARY", "IN_PROGRESS", OLD)
    broken = replace(ours, status="ACTIVE", rollout="FAILED")
    assert decide(order, seen((ours, ENDED), (broken, RETURNS), (broken, RETURNED))) is Verdict.ROLLED_BACK
    assert decide(order, seen((ours, ENDED), (replace(ours, rollout="COMPLETED"),))) is Verdict.DEPLOYED


def test_an_event_names_our_deployment_as_failed_before_its_state_does() -> None:
    event = ("(service api) (deployment ours) deployment failed: tasks failed to start.",)
    back = deployment("back", "PRIMARY", "COMPLETED", OLD)
    assert decide(ORDER, seen(ROLLING, (back,), events=event)) is Verdict.ROLLED_BACK


def test_a_failure_is_known_by_the_state_or_by_an_event_of_our_deployment_only() -> None:
    assert failing(ORDER, seen(ROLLING, (BROKEN, RETURNS)))
    assert failing(ORDER, seen(ROLLING, (ENDED,), events=("(deployment ours) deployment failed: no tasks",)))
    assert not failing(ORDER, seen(ROLLING, (DONE,), events=("(deployment ours) deployment completed.",)))
    assert not failing(ORDER, seen(ROLLING, (ENDED,), events=("(deployment old) deployment failed: no tasks",)))
    assert not failing(ORDER, seen((OURS, replace(ENDED, rollout="FAILED"))))
    assert not failing(ORDER, [])


def test_a_service_that_is_gone_has_failed_when_ecs_says_it_twice() -> None:
    gone = Snapshot(10.0, active=False)
    assert decide(ORDER, [Snapshot(0.0, ROLLING), gone]) is None
    assert decide(ORDER, [Snapshot(0.0, ROLLING), gone, replace(gone, at=20.0)]) is Verdict.FAILED
    assert decide(ORDER, [Snapshot(0.0, ROLLING), gone, Snapshot(20.0, (DONE,))]) is Verdict.DEPLOYED


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([Verdict.DEPLOYED, Verdict.DEPLOYED], Verdict.DEPLOYED),
        ([Verdict.DEPLOYED, None], None),
        ([None, Verdict.ROLLED_BACK], Verdict.FAILED),
        ([Verdict.DEPLOYED, Verdict.FAILED], Verdict.FAILED),
        ([Verdict.STILL_ROLLING, None], None),
        ([Verdict.STILL_ROLLING, Verdict.DEPLOYED], Verdict.STILL_ROLLING),
        ([Verdict.STILL_ROLLING, Verdict.FAILED], Verdict.FAILED),
        ([Verdict.FAILED, Verdict.SUPERSEDED], Verdict.SUPERSEDED),
        ([], Verdict.DEPLOYED),
    ],
)
def test_services_that_belong_together_end_together(verdicts: list[Verdict | None], whole: Verdict | None) -> None:
    assert together(verdicts) == whole
