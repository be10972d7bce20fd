"""What is said of a container that did not start, from what Compose said and how it is by now."""

from __future__ import annotations

from typing import Any

import pytest

from stackhand.engines.compose import containers


def container(**fields: Any) -> containers.Container:
    running = {"Status": "running", "ExitCode": 0, "Health": {"Status": "starting", "Log": []}}
    return {"Name": "/shop-api", "State": running, "RestartCount": 0} | fields


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "log", lambda *_: [])


@pytest.mark.parametrize(
    ("found", "message", "what"),
    [
        (container(), "dependency failed to start: container shop-api exited (1)", "api stopped while it started"),
        (container(RestartCount=1), "dependency failed to start", "api stopped while it started"),
        (container(), "dependency failed to start: container shop-api is unhealthy", "api did not get healthy"),
        (container(), "dependency failed to start: container shop-api-2 exited (1)", "api did not get healthy"),
    ],
)
def test_a_container_that_ended_is_not_called_slow_because_it_runs_again_by_now(
    found: containers.Container, message: str, what: str
) -> None:
    assert containers.up_failed(message, {"api": found}, []).what.startswith(what)
