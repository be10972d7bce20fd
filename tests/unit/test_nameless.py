"""An account without a name or a home, as a container has that was given a number."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from stackhand.containers import endpoint
from stackhand.infrastructure import account


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GITHUB_ACTOR", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", missing)


@pytest.mark.usefixtures("nameless")
def test_docker_has_no_settings_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert endpoint.folder() is None
    assert endpoint.configuration() == {}
    assert endpoint.local_socket() == "/var/run/docker.sock"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert endpoint.folder() == tmp_path


@pytest.mark.usefixtures("nameless")
def test_who_deploys_is_told_by_a_number() -> None:
    assert account.owner().startswith(f"uid {os.getuid()}@")
