"""Credentials that end in the middle of a release: its rollout continues, and `--resume` finishes it."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import UnauthorizedSSOTokenError

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.store import Store
from stackhand.project import environments
from stackhand.release import verbs
from stackhand.release.stages import acquire, prepare, rollout, verification
from tests.cloud.conftest import Cloud
from tests.cloud.fake_refusals import Accepted, Refused
from tests.cloud.test_stages import refused, release, running


@pytest.mark.parametrize("how", ["answer", "sso"])
def test_credentials_that_end_between_two_orders_leave_a_release_to_resume(
    held: Cloud, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(held, "first")
    with monkeypatch.context() as patch:
        if how == "answer":
            held.world.errors["UpdateService"] = [Accepted(), Refused("ExpiredTokenException")]  # type: ignore[list-item]
        else:
            _end_session_after(held, 1, patch)
        failure = refused(held, "second")
    assert failure.code == ExitCode.STILL_ROLLING
    assert "second can no longer be watched in staging, where ECS continues" in failure.what
    assert failure.next.endswith(", then ./inv deploy -e staging --resume")
    assert "api is not updated yet" in failure.evidence
    left = acquire.choose(held.context, "resume", "")
    assert left is not None
    found = rollout.resume(held.context, left, held.context.releases.current())
    verification.probe(held.context, found)
    verification.record(held.context, found)
    assert running(held) == {"second"}


def _end_session_after(held: Cloud, orders: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ordered, call = held.world.updates() + orders, held.context.ecs._make_api_call

    def sign(operation: str, words: dict[str, Any]) -> Any:
        if operation == "UpdateService" and held.world.updates() >= ordered:
            raise UnauthorizedSSOTokenError  # type: ignore[no-untyped-call]
        return call(operation, words)

    monkeypatch.setattr(held.context.ecs, "_make_api_call", sign)


def test_credentials_that_end_during_a_rollback_leave_it_rolling_and_rollback_finishes_it(held: Cloud) -> None:
    release(held, "first")
    orders = [Accepted(), Accepted(), Refused("ExpiredTokenException")]
    held.world.errors["UpdateService"] = orders  # type: ignore[assignment]
    failure = refused(held, "second", healthy=False)
    assert failure.code == ExitCode.STILL_ROLLING
    assert "the rollback was interrupted" in failure.what
    assert any(line.endswith(", then ./inv rollback -e staging") for line in failure.evidence)
    good = acquire.choose(held.context, "rollback", "")
    assert good is not None
    rollout.roll(held.context, prepare.prepare_rollback(held.context, good), good)
    assert running(held) == {"first"}


def test_credentials_that_end_before_a_migration_touch_nothing(held: Cloud) -> None:
    release(held, "first")
    before = held.world.updates()
    held.world.fail("RunTask", "ExpiredTokenException")
    failure = refused(held, "second")
    assert failure.code == ExitCode.PREFLIGHT
    assert failure.what.startswith("The migration of api could not be started; no service was changed: ")
    assert held.world.updates() == before


def test_a_bucket_that_does_not_know_us_any_more_names_the_way_back(held: Cloud) -> None:
    release(held, "first")
    ordered = held.world.updates() + 1

    def lost(_key: str) -> bool:
        if held.world.updates() >= ordered:
            from stackhand.aws import errors

            raise errors.failure("The bucket cannot be used", UnauthorizedSSOTokenError())  # type: ignore[no-untyped-call]
        return False

    held.context.store.trouble = lost  # type: ignore[attr-defined]
    failure = refused(held, "second")
    assert failure.code == ExitCode.STILL_ROLLING
    assert failure.next.endswith(", then ./inv deploy -e staging --resume")
    assert not failure.next.startswith("fix that")
    assert isinstance(failure, Failure)


def test_a_bucket_that_is_lost_before_a_rollback_leaves_a_release_to_resume(
    held: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(held, "first")
    updated, read, asked = held.world.updates() + 2, held.context.releases.current, 0

    def current() -> Any:
        nonlocal asked
        asked += held.world.updates() >= updated
        if asked > 1:  # after the probe
            raise Failure("The bucket cannot be used.", code=ExitCode.PREFLIGHT)
        return read()

    monkeypatch.setattr(held.context.releases, "current", current)
    failure = refused(held, "second", healthy=False)
    assert failure.code == ExitCode.STILL_ROLLING
    assert failure.next.endswith("./inv deploy -e staging --resume")


def test_an_interrupt_without_credentials_does_not_claim_that_nothing_was_touched(
    held: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "load", lambda _name: held.environment)

    def keys(store: Store, _prefix: str) -> list[str]:
        raise store._unreadable(UnauthorizedSSOTokenError())  # type: ignore[no-untyped-call]

    monkeypatch.setattr(Store, "keys", keys)
    failure = verbs._interrupted("staging")
    assert failure.what == "Interrupted; it is unknown whether a service was changed."
    assert failure.next.endswith("./inv cloud.status -e staging")
