"""Credentials that end in the middle of a release: what was ordered goes on, and the same release is come back to."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import UnauthorizedSSOTokenError

from stackhand.failure import ExitCode, Failure
from stackhand.release import lead, rolling, verify
from tests.cloud.conftest import Cloud
from tests.cloud.fake_ecs import Accepted, Refused
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
    assert "second cannot be watched any more in staging, where ECS goes on without us" in failure.what
    assert failure.next.endswith(", then ./inv deploy -e staging --resume")
    assert "api is not ordered yet" in failure.evidence
    left = lead.choose(held.context, "resumed", "")
    assert left is not None
    found = rolling.resume(held.context, left, held.context.releases.current())
    verify.probe(held.context, found)
    verify.record(held.context, found)
    assert running(held) == {"second"}


def _end_session_after(held: Cloud, orders: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ordered, call = held.world.updates() + orders, held.context.ecs._make_api_call

    def sign(operation: str, words: dict[str, Any]) -> Any:
        if operation == "UpdateService" and held.world.updates() >= ordered:
            raise UnauthorizedSSOTokenError  # type: ignore[no-untyped-call]
        return call(operation, words)

    monkeypatch.setattr(held.context.ecs, "_make_api_call", sign)


def test_credentials_that_end_before_a_migration_touch_nothing(held: Cloud) -> None:
    release(held, "first")
    before = held.world.updates()
    held.world.fail("RunTask", "ExpiredTokenException")
    failure = refused(held, "second")
    assert failure.code == ExitCode.PREFLIGHT
    assert failure.what.startswith("The migration of api could not be started, and no service was touched: ")
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
