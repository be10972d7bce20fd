"""Why a container engine cannot be used: each reason has its own sentence and its own fix."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import zipfile
from pathlib import Path

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker
from tests.checkout import Checkout

pytestmark = pytest.mark.slow


def test_without_a_docker_command_the_embedded_engine_is_taken_and_it_is_said(checkout: Checkout, folder: Path) -> None:
    said = checkout.inv("up", "--engine", "compose", check=False, PATH=_tools(folder))
    assert said.code == 3
    assert "There is no docker command on PATH." in said.err
    assert "./inv up --engine embedded works without" in said.err
    said = checkout.inv("up", "--engine", "auto", PATH=_tools(folder))
    assert "embedded: real servers from packages. There is no docker command on PATH." in said.out
    checkout.engine = "embedded"


def refusal(engine: str, monkeypatch: pytest.MonkeyPatch, **settings: str) -> str:
    """Return why the engine cannot be used with some settings: what `up` then says, as the tests below show."""
    assert engine == "compose"
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Failure) as caught:
        docker.reach()
    assert caught.value.code == ExitCode.PREFLIGHT
    return caught.value.text()


def test_an_engine_that_does_not_run_is_told_with_its_address(
    engine: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"unix://{folder}/nobody.sock"
    said = refusal(engine, monkeypatch, DOCKER_HOST=address)
    assert f"No container engine answers at {address}, which DOCKER_HOST names." in said


def test_a_context_that_leads_nowhere_is_named(engine: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = {"DOCKER_CONFIG": str(folder / "docker")}
    words = ["docker", "context", "create", "far-away", "--docker", f"host=unix://{folder}/far.sock"]
    subprocess.run(words, env={**os.environ, **configuration}, check=True, capture_output=True)
    said = refusal(engine, monkeypatch, DOCKER_CONTEXT="far-away", **configuration)
    assert f"unix://{folder}/far.sock, which the docker context 'far-away' names" in said
    assert "docker context use default" in said


def test_an_account_that_may_not_use_the_engine_is_told_so(
    engine: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = _shim(folder, 'case "$*" in version*) echo "permission denied while trying to connect" >&2; exit 1 ;; esac')
    said = refusal(engine, monkeypatch, PATH=f"{shim}:{os.environ['PATH']}")
    assert "This account has no permission to use the container engine" in said
    assert "usermod -aG docker" in said


def test_an_engine_that_hangs_is_given_up_after_two_seconds(
    engine: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "hangs.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        said = refusal(engine, monkeypatch, DOCKER_HOST=f"unix://{path}")
    assert f"The container engine at unix://{path} did not answer within 2 s." in said


def test_a_compose_that_is_too_old_is_told_with_both_versions(checkout: Checkout, folder: Path) -> None:
    shim = _shim(folder, 'case "$*" in "compose version --short") echo 2.17.3; exit ;; esac')
    said = checkout.inv("up", check=False, PATH=f"{shim}:{os.environ['PATH']}")
    assert said.code == 3
    assert "Compose 2.17.3 is too old: 2.20 or newer is needed." in said.err
    document = checkout.inv("doctor", "--json", check=False, PATH=f"{shim}:{os.environ['PATH']}").json
    words = [check["words"] for check in document["checks"] if check["category"] == "engine"]
    assert any("Compose 2.17.3 is too old" in each for each in words)


def test_a_file_that_compose_does_not_accept_is_no_fault_of_a_build(checkout: Checkout) -> None:
    checkout.edit("docker-compose.yml", "test: [CMD, python, -m, service, check]", "test: null")
    said = checkout.inv("up", check=False)
    assert said.code == 3
    assert "Compose rejects docker-compose.yml." in said.err
    assert "services.api.healthcheck.test must be a string" in said.err
    assert "next: fix docker-compose.yml" in said.err


def test_doctor_tells_of_certificates_that_are_not_there_and_of_a_proxy_that_builds_do_not_know(
    checkout: Checkout, folder: Path
) -> None:
    said = checkout.inv(
        "doctor",
        check=False,
        SSL_CERT_FILE=f"{folder}/gone.pem",
        HTTPS_PROXY="http://127.0.0.1:9",
        DOCKER_CONFIG=str(folder / "docker"),
    )
    assert f"SSL_CERT_FILE names {folder}/gone.pem, which is not a file" in said.out
    assert "HTTPS_PROXY is set here, but not for builds" in said.out


def test_an_engine_that_stopped_is_told_by_down_volumes_and_support_goes_on_without_it(
    checkout: Checkout, folder: Path
) -> None:
    checkout.state.mkdir()
    remembered = {"engine": "compose", "name": checkout.name, "services": ["api"]}
    (checkout.state / "state.json").write_text(json.dumps(remembered))
    nobody = {"DOCKER_HOST": f"unix://{folder}/nobody.sock"}
    said = checkout.inv("down", "--volumes", "--yes", check=False, **nobody)
    assert said.code == 3
    assert f"No container engine answers at {nobody['DOCKER_HOST']}, which DOCKER_HOST names." in said.err
    path = checkout.path / checkout.inv("support", **nobody).out.split(":")[0]
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name).decode() for name in ("versions.json", "status.json", "logs/api.log")}
    assert "stackhand" in parts["versions.json"]
    for name in ("status.json", "logs/api.log"):
        assert "No container engine answers at" in parts[name]
    assert [each.name for each in checkout.state.glob("support-*")] == [path.name]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"DOCKER_CONTEXT": "nowhere"}, "There is no docker context 'nowhere'."),
        ({"DOCKER_API_VERSION": "1.99"}, "The docker command uses API version 1.99, and the container engine"),
        ({"DOCKER_HOST": "tcp://127.0.0.1:9", "DOCKER_TLS_VERIFY": "1"}, "TLS with the container engine at tcp://"),
    ],
    ids=["context", "version", "tls"],
)
def test_an_engine_that_cannot_be_asked_is_not_read_as_one_that_runs_nothing(
    running: Checkout, folder: Path, wrong: dict[str, str], sentence: str
) -> None:
    wrong = {"DOCKER_CONFIG": str(folder / "docker"), **wrong}
    for words in (("up",), ("up", "--engine", "embedded"), ("down",)):
        said = running.inv(*words, check=False, **wrong)
        assert said.code == 3
        assert "is not running" not in said.out
        if words[-1] == "embedded":  # the engine that the containers were made on is asked, whatever is in force
            assert "This checkout runs on compose" in said.err
        else:
            assert sentence in said.err
    found = running.inv("doctor", "--json", check=False, **wrong).json["checks"]
    assert any(sentence in each["words"] for each in found if each["category"] == "engine")
    assert running.ask("/health/ready")[0] == 200


def _tools(folder: Path) -> str:
    """A PATH that has what ./inv needs, and no docker."""
    place = folder / "tools"
    if not place.exists():
        place.mkdir()
        for name in ("sh", "cmp", "dirname", "setpriv", "uname"):
            if found := shutil.which(name):
                (place / name).symlink_to(found)
    return str(place)


def _shim(folder: Path, first: str) -> Path:
    """A docker command that does something of its own first."""
    place = folder / "shim"
    place.mkdir()
    (place / "docker").write_text(f'#!/bin/sh\n{first}\nexec {shutil.which("docker")} "$@"\n')
    (place / "docker").chmod(0o755)
    return place
