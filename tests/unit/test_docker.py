"""The docker command: an exit code is never overlooked, and docker's own words are handed on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stackhand import preflight
from stackhand.engines.compose import api, containers, docker, images
from stackhand.engines.compose.unavailable import Unavailable
from stackhand.failure import Failure
from stackhand.state import State

Says = Callable[..., None]
MISSING = "Error response from daemon: No such image: shop:latest"


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Have the docker command say this, and end with that."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(api, "local_socket", lambda: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def answer(err: str, code: int = 1, out: str = "") -> None:
        (tmp_path / "out").write_text(out)
        (tmp_path / "err").write_text(err + "\n" if err else "")
        (tmp_path / "docker").write_text(f"#!/bin/sh\ncat {tmp_path}/out\ncat {tmp_path}/err >&2\nexit {code}\n")
        (tmp_path / "docker").chmod(0o755)

    return answer


CONNECT = "Cannot connect to the Docker daemon at unix:///run/x.sock. Is the docker daemon running?"
UNAVAILABLE = [
    (
        'Failed to initialize: unable to resolve docker endpoint: context "far": context not found: open /x/meta.json',
        "There is no docker context 'far'.",
        "docker context use default",
    ),
    (
        "Error response from daemon: client version 1.99 is too new. Maximum supported API version is 1.45",
        "speaks version 1.99 of the API, and the container engine at unix:///var/run/docker.sock none above 1.45.",
        "update the container engine",
    ),
    (
        "Error response from daemon: client version 1.41 is too old. Minimum supported API version is 1.44",
        "speaks version 1.41 of the API, and the container engine at unix:///var/run/docker.sock none below 1.44.",
        "update the docker command",
    ),
    (
        "permission denied while trying to connect to the docker API at unix:///run/x.sock",
        "This account may not use the container engine at unix:///run/x.sock.",
        "usermod -aG docker",
    ),
    (
        "error during connect: Get https://10.0.0.1:2376/v1.45/info: x509: certificate signed by unknown authority",
        "TLS with the container engine at",
        "DOCKER_CERT_PATH",
    ),
    (
        "Error response from daemon: Client sent an HTTP request to an HTTPS server.",
        "TLS with the container engine at",
        "DOCKER_CERT_PATH",
    ),
    (CONNECT, "nothing answers at unix:///run/x.sock.", "start Docker"),
    (
        "failed to connect to the docker API at unix:///run/x.sock; check it",
        "nothing answers at unix:///run/x.sock.",
        "",
    ),
    (
        "request returned 500 Internal Server Error for API route and version http://x/v1.50/_ping",
        "cannot be asked.",
        "",
    ),
]


@pytest.mark.parametrize(("message", "what", "remedy"), UNAVAILABLE)
def test_an_engine_that_cannot_be_asked_has_a_sentence_of_its_own_and_docker_has_its_words(
    says: Says, message: str, what: str, remedy: str
) -> None:
    says(message)
    for ask in (
        lambda: docker.listed("shop"),
        lambda: docker.inspect(["shop-api"]),
        lambda: images.present(["shop"]),
        lambda: containers.log("shop-api", "api", 9),
        docker.reach,
    ):
        with pytest.raises(Unavailable) as caught:
            ask()
        assert what in caught.value.what
        assert remedy in caught.value.next
        assert message in caught.value.evidence
        assert caught.value.code == 3


def test_what_is_not_there_is_an_answer_and_any_other_error_is_none(says: Says) -> None:
    says(MISSING)
    assert images.present(["shop"]) == {}
    says("Error response from daemon: No such container: shop-api", out="[]")
    assert docker.inspect(["shop-api"]) == {}
    assert containers.log("shop-api", "api", 9) == []
    for message in ("Error response from daemon: something new", ""):
        says(message, code=125)
        with pytest.raises(docker.Failed, match="docker image inspect failed") as caught:
            images.present(["shop"])
        assert list(caught.value.evidence) == [message or "it said nothing, and ended with exit code 125"]


def test_the_failure_of_a_service_is_told_even_when_its_log_cannot_be_read(says: Says) -> None:
    says("Error response from daemon: configured logging driver does not support reading")
    shown = containers.failure("api", {"Name": "/shop-api", "State": {}}, "stopped")
    assert shown.what == "api stopped."
    assert "its log cannot be read: Error response from daemon: configured logging driver" in shown.evidence[0]


@pytest.mark.parametrize(("message", "refused"), [(CONNECT, False), (UNAVAILABLE[0][0], True)])
def test_containers_that_cannot_be_seen_are_not_left_behind_for_the_other_engine(
    says: Says, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, message: str, refused: bool
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "far")
    says(message)
    state = State(tmp_path)
    state.make()
    state.remember(engine="compose", name="shop")
    if not refused:
        preflight.no_other_engine("embedded", state)
        return
    with pytest.raises(Failure, match="Whether this checkout still runs on compose cannot be told") as caught:
        preflight.no_other_engine("embedded", state)
    assert "There is no docker context 'far'." in caught.value.evidence[0]


def test_a_log_that_cannot_be_followed_any_more_does_not_end_as_if_it_were_over(says: Says) -> None:
    says("error during connect: the engine went away")
    lines = containers.follow({"api": "shop-api"})
    assert next(lines).text == "error during connect: the engine went away"
    with pytest.raises(Unavailable):
        next(lines)
    says("Error response from daemon: can not get logs from container which is dead or marked for removal")
    assert len(list(containers.follow({"api": "shop-api"}))) == 1
