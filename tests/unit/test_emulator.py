"""The AWS of a rehearsal: how it is started and ended, and that no other is reached."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from stackhand.cli.failure import Failure
from stackhand.local.engines.embedded.launch import birth
from stackhand.rehearsal import (
    emulator,
    rehearse,
    resources,
)
from stackhand.rehearsal.emulator import Emulator
from stackhand.rehearsal.resources import Resources
from stackhand.system import roots
from tests.checkout import ROOT

AWS = Emulator(os.getpid(), birth(os.getpid()) or "", 4566, "eu-west-1", "172.17.0.1", "REHEARSAL0")


def test_the_genuine_aws_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "TF_VAR_region", "TF_CLI_ARGS_apply"):
        monkeypatch.setenv(key, "theirs")
    monkeypatch.setenv("NO_PROXY", "example.com")
    found = AWS.environment()
    assert "theirs" not in found.values()
    assert found["AWS_ENDPOINT_URL"] == found["TF_VAR_aws_endpoint"] == "http://127.0.0.1:4566"
    assert found["TF_VAR_aws_endpoint_of_tasks"] == "http://172.17.0.1:4566"
    assert found["AWS_SHARED_CREDENTIALS_FILE"] == found["AWS_CONFIG_FILE"] == os.devnull
    assert found["NO_PROXY"] == "example.com,127.0.0.1,localhost"


@pytest.mark.parametrize(
    ("gateway", "addresses"),
    [("172.17.0.1", ["127.0.0.1:4566", "172.17.0.1:4566"]), (resources.FROM_A_CONTAINER, ["127.0.0.1:4566"])],
)
def test_the_emulator_listens_for_this_machine_and_its_containers(gateway: str, addresses: list[str]) -> None:
    words = emulator.command(4566, gateway)
    assert [words[at + 1] for at, word in enumerate(words) if word == "--bind"] == addresses


def test_the_emulator_starts_also_when_its_environment_was_made_under_another_path() -> None:
    words = emulator.command(4566, "172.17.0.1")
    assert (Path(words[0]).name, words[1]) == ("python", "-m")  # a script would name that path


def test_the_emulator_sees_no_other_package_and_has_ports_of_its_own(tmp_path: Path) -> None:
    first, second = (emulator._environment(tmp_path, port, "eu-west-1") for port in resources.PORTS[:2])
    bases = [each[name] for each in (first, second) for name in ("ELASTICACHE_BASE_PORT", "RDS_BASE_PORT")]
    assert len({*bases}) == 4
    path = Path(first["PYTHONPATH"])
    assert [each.resolve() for each in path.iterdir()] == [Path(roots.__file__).parents[1]]


def test_an_emulator_is_known_by_more_than_the_number_of_its_process(tmp_path: Path) -> None:
    assert AWS.alive
    assert not Emulator(AWS.pid, "another birth", 4566, "eu-west-1", "", "").alive
    assert emulator.remembered(tmp_path) is None
    (tmp_path / "emulator.json").write_text(msgspec.json.encode(AWS).decode(), encoding="utf-8")
    assert emulator.remembered(tmp_path) == AWS


def test_the_emulator_has_each_service_that_a_deploy_asks() -> None:
    called = {"application-autoscaling": "autoscaling", "cloudwatch": "monitoring", "elbv2": "elasticloadbalancing"}
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "stackhand").rglob("*.py")]
    asked = {name for text in texts for name in re.findall(r"""\.client\("([a-z0-9-]+)"\)""", text)}
    assert len(asked) > 10
    assert {called.get(name, name) for name in asked} <= {*emulator.SERVICES}


def test_an_emulator_ends_also_where_the_container_engine_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr(rehearse, "FOLDER", tmp_path)
    with subprocess.Popen(["sleep", "60"]) as child:
        aws = replace(AWS, pid=child.pid, birth=birth(child.pid) or "")
        threading.Timer(0.1, child.wait).start()
        with pytest.raises(Failure):
            rehearse._clear(Resources(aws))
        assert child.wait(timeout=10) == -signal.SIGINT
