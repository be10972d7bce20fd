"""A release that was left between its orders, or before its record: what is said, and how one comes back to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.release.context import Timing
from stackhand.release.manifest import Manifest, ReleasedService
from stackhand.release.stages import acquire, rollout, verification
from tests.cloud.conftest import SERVICES, Cloud, Troubled
from tests.cloud.fake_refusals import Accepted, Lost, Refused
from tests.cloud.test_stages import refused, release, running


def trouble(cloud: Cloud, when: Callable[[str], object]) -> None:
    assert isinstance(cloud.context.store, Troubled)
    cloud.context.store.trouble = when


def resumed(cloud: Cloud) -> Manifest:
    """Come back to what was left, when nothing is in the way any more."""
    trouble(cloud, lambda _key: False)
    cloud.clock.interrupted = False
    cloud.world.errors.clear()
    left = acquire.choose(cloud.context, "resume", "")
    assert left is not None
    found = rollout.resume(cloud.context, left, cloud.context.releases.current())
    verification.probe(cloud.context, found)
    return verification.record(cloud.context, found)[1]


def interrupts(cloud: Cloud, updates: int) -> None:
    """Have somebody interrupt us after so many orders."""
    wanted = cloud.world.updates() + updates

    def when(_key: str) -> bool:
        cloud.clock.interrupted |= cloud.world.updates() >= wanted
        return False

    trouble(cloud, when)


def definitions(cloud: Cloud) -> dict[str, str]:
    """Return what each service is on."""
    services = {name: cloud.world.services[f"shop-{name}"]["deployments"] for name in SERVICES}
    return {
        name: next(each["taskDefinition"] for each in deployments if each["status"] == "PRIMARY")
        for name, deployments in services.items()
    }


@pytest.mark.parametrize("how", ["interrupted", "the credentials expire", "the bucket fails"])
def test_a_release_that_is_left_between_two_orders_is_ordered_to_its_end(held: Cloud, how: str) -> None:
    release(held, "first")
    before = held.world.updates()
    if how == "interrupted":
        interrupts(held, 1)
    elif how == "the credentials expire":
        held.world.errors["UpdateService"] = [Accepted(), Refused("ExpiredTokenException")]  # type: ignore[list-item]
    else:
        trouble(held, lambda _key: held.world.updates() > before)
    failure = refused(held, "second")
    assert failure.code == ExitCode.STILL_ROLLING
    assert "--resume" in failure.next
    assert failure.evidence[:2] == ("web:3 ordered", "api is not updated yet")
    done = resumed(held)
    assert done == held.context.releases.current()
    assert definitions(held) == {name: part.task_definition for name, part in done.services.items()}
    assert running(held) == {"second"}
    orders = [words["service"] for name, words in held.world.calls if name == "UpdateService"][before:]
    assert orders.count("shop-web") == 1


@pytest.mark.parametrize("accepted", [False, True], ids=["refused", "accepted"])
@pytest.mark.parametrize("first", [True, False], ids=["the first", "the second"])
def test_an_update_that_is_never_answered_is_come_back_to(held: Cloud, first: bool, accepted: bool) -> None:
    release(held, "first")
    held.context.timing = Timing(timeout=20.0)
    lost: list[Refused] = [Lost()] if accepted else []
    held.world.errors["UpdateService"] = [] if first else [Accepted()]
    held.world.errors["UpdateService"] += [*lost, *[Refused("ServerException", status=500)] * 100]
    held.world.after_updates(2, 0.0, lambda: held.world.fail("DescribeServices", "ServerException", 100, 500))
    failure = refused(held, "second")
    assert (failure.code, "--resume" in failure.next) == (ExitCode.STILL_ROLLING, True)
    name = "web" if first else "api"
    assert f"{name}:3 requested, but not confirmed by ECS" in failure.evidence
    held.context.timing = Timing()
    resumed(held)
    assert running(held) == {"second"}


def test_an_interrupt_before_the_first_order_says_that_nothing_goes_on(held: Cloud) -> None:
    release(held, "first")
    interrupts(held, 0)
    failure = refused(held, "second")
    assert (failure.code, failure.evidence) == (ExitCode.INTERRUPTED, ("no service was changed yet",))
    assert running(held) == {"first"}
    assert resumed(held).commit == "second"
    assert running(held) == {"second"}


def test_credentials_that_are_gone_before_the_first_order_leave_nothing_rolling(held: Cloud) -> None:
    release(held, "first")
    held.world.after_updates(0, 0.0, lambda: held.world.fail("UpdateService", "ExpiredTokenException"))
    failure = refused(held, "second")
    assert (failure.code, failure.what[:32]) == (ExitCode.PREFLIGHT, "The rollout to staging did not s")


def test_an_order_that_the_bucket_never_heard_of_is_found_and_not_given_again(held: Cloud) -> None:
    release(held, "first")
    before = held.world.updates()
    trouble(held, lambda _key: held.world.updates() > before)
    failure = refused(held, "second", after=60.0)
    assert failure.what == "second was updated in staging, but that could not be recorded; ECS continues."
    left = next(held.context.releases.newest_first())
    assert not any(part.deployment for part in left.services.values())
    theirs = held.world.services["shop-web"]["deployments"][0]["id"]
    assert resumed(held).services["web"].deployment == theirs


def test_secrets_that_were_rotated_reach_also_the_service_that_was_not_ordered_yet(held: Cloud) -> None:
    release(held, "first")
    held.environment.client("ssm").put_parameter(
        Name="/shop/staging/password", Value="three", Type="SecureString", Overwrite=True
    )
    before = held.world.updates()
    interrupts(held, 1)
    assert refused(held, "first").code == ExitCode.STILL_ROLLING
    assert all(part.deployment for part in resumed(held).services.values())
    assert held.world.updates() == before + 2


def test_nothing_more_is_ordered_by_who_lost_the_lease(held: Cloud) -> None:
    release(held, "first")
    interrupts(held, 1)
    refused(held, "second")
    held.context.token = "somebody else's"
    before = held.world.updates()
    with pytest.raises(Failure) as found:
        resumed(held)
    assert (found.value.code, held.world.updates()) == (ExitCode.LOCKED, before)


def test_a_release_that_never_came_to_its_orders_is_not_gone_on_with(held: Cloud) -> None:
    first = release(held, "first")
    parts = {name: ReleasedService("td", part.image) for name, part in first.services.items()}
    left = first.but(id=f"{first.id}x", verdict="", rolled=False, migrated=True, services=parts)
    held.context.releases.write(left)
    with pytest.raises(Failure, match="No release of staging is still rolling"):
        acquire.choose(held.context, "resume", "")


def test_a_release_that_was_left_on_its_way_back_is_not_ordered_again(held: Cloud) -> None:
    first = release(held, "first")

    def note(text: str) -> None:
        held.clock.interrupted |= text.startswith("rolling all services back")

    held.context.note = note
    held.world.errors["UpdateService"] = [Accepted(), Refused("InvalidParameterException")]  # type: ignore[list-item]
    assert refused(held, "second").code == ExitCode.STILL_ROLLING
    with pytest.raises(Failure) as found:
        resumed(held)
    assert found.value.evidence[0].endswith("is rolling back")
    assert acquire.choose(held.context, "rollback", "") == first


@pytest.mark.parametrize("verdict", ["superseded", "still_rolling"])
def test_a_verdict_that_the_bucket_does_not_take_is_told_none_the_less(held: Cloud, verdict: str) -> None:
    release(held, "first")
    held.context.timing = Timing(timeout=60.0)
    ordered = held.world.updates() + 2
    if verdict == "superseded":
        words = {"service": "shop-web", "taskDefinition": definitions(held)["web"], "forceNewDeployment": True}
        held.world.after_updates(2, 5.0, lambda: held.world.update_service(words))
        code = ExitCode.SUPERSEDED
    else:
        code = ExitCode.STILL_ROLLING
    began = held.clock.now()
    trouble(held, lambda _key: held.world.updates() >= ordered and held.clock.now() > began + 2.0)
    failure = refused(held, "second", kind="hangs")
    assert failure.code == code
    assert "the verdict could not be recorded" in failure.evidence[-1]


def test_a_release_that_cannot_be_recorded_is_come_back_to(held: Cloud) -> None:
    first = release(held, "first")
    trouble(held, lambda key: key == "current.json")
    failure = refused(held, "second")
    assert (failure.code, "--resume" in failure.next) == (ExitCode.STILL_ROLLING, True)
    assert held.context.releases.current() == first
    assert not next(held.context.releases.newest_first()).good
    assert resumed(held) == held.context.releases.current()


def test_what_is_the_current_release_is_good_also_where_its_own_entry_was_not_written(held: Cloud) -> None:
    first = release(held, "first")
    trouble(held, lambda _key: held.context.releases.current() != first)
    second = release(held, "second")
    assert held.context.releases.current() == second == next(held.context.releases.newest_first())
    assert acquire.choose(held.context, "rollback", "") == first
    trouble(held, lambda _key: False)
    release(held, "third")
    assert acquire.choose(held.context, "rollback", "") == second
