"""What holds of the verdict on whatever ECS may show; apart from the cases, which each mutation of the code runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from stackhand.release.verdict import SETTLES, Deployment, Snapshot, Verdict, decide
from tests.cloud.test_verdict import BACK, NEW, OLD, ORDER, OTHER


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    """Whatever ECS may show, also what it never should."""
    one = st.builds(
        Deployment,
        id=st.sampled_from(["ours", "old", "back", "theirs"]),
        status=st.sampled_from(["PRIMARY", "ACTIVE", "INACTIVE"]),
        rollout=st.sampled_from(["IN_PROGRESS", "COMPLETED", "FAILED", ""]),
        task_definition=st.sampled_from([NEW, OLD, OTHER]),
        reason=st.sampled_from(["", BACK]),
    )
    lists = st.lists(one, max_size=3, unique_by=lambda each: each.id).map(tuple)
    steps = draw(st.lists(st.tuples(st.sampled_from([0.5, 5.0, SETTLES, 300.0]), lists, st.booleans()), max_size=8))
    return list(_moments(steps))


def _moments(steps: list[tuple[float, tuple[Deployment, ...], bool]]) -> Iterator[Snapshot]:
    at = 0.0
    for step, deployments, active in steps:
        at += step
        yield Snapshot(at, deployments, active)


@given(histories())
def test_a_verdict_is_final(snapshots: list[Snapshot]) -> None:
    verdicts = [decide(ORDER, snapshots[:length]) for length in range(len(snapshots) + 1)]
    decided = [each for each in verdicts if each is not None]
    assert verdicts == [None] * (len(verdicts) - len(decided)) + decided
    assert len(set(decided)) <= 1


@given(histories())
def test_only_what_we_gave_is_ever_called_deployed(snapshots: list[Snapshot]) -> None:
    if decide(ORDER, snapshots) is Verdict.DEPLOYED:
        assert any(
            each.status == "PRIMARY"
            and each.rollout == "COMPLETED"
            and (each.id == "ours" or each.task_definition == NEW)
            for snapshot in snapshots
            for each in snapshot.deployments
        )


@given(histories())
def test_timeout_ends_when_it_ends_and_never_before(snapshots: list[Snapshot]) -> None:
    verdict = decide(ORDER, snapshots)
    late = bool(snapshots) and snapshots[-1].at >= ORDER.timeout
    assert verdict is not None or not late
    assert late or verdict is not Verdict.STILL_ROLLING


@given(histories(), st.integers(0, 5))
def test_ecs_may_list_deployments_in_any_order(snapshots: list[Snapshot], turn: int) -> None:
    def turned(each: Snapshot) -> Snapshot:
        primaries = [d for d in each.deployments if d.status == "PRIMARY"]
        kept = [
            d for d in each.deployments if d.status != "PRIMARY" or d is primaries[0]
        ]  # ECS has one primary at most
        cut = turn % max(1, len(kept))
        return replace(each, deployments=tuple(kept[cut:] + kept[:cut]))

    one = [replace(turned(each), deployments=tuple(sorted(turned(each).deployments, key=str))) for each in snapshots]
    assert decide(ORDER, [turned(each) for each in snapshots]) == decide(ORDER, one)
