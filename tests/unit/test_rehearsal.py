"""The steps of a rehearsal, its environment and its checks, as far as they need no emulator."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.reporter import Reporter
from stackhand.infrastructure.terraform import working_directory
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.project.stack import loading
from stackhand.rehearsal import (
    checks,
    emulator,
    environment,
    rehearse,
)
from stackhand.rehearsal.clone import Clone
from stackhand.rehearsal.emulator import Emulator
from stackhand.rehearsal.resources import Resources
from stackhand.rehearsal.scenario import Rehearsal, RehearsalOutput, version, words_of
from tests.unit.test_emulator import AWS


def test_an_environment_is_made_up_from_that_which_is_rehearsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "environments"
    theirs.mkdir()
    given = """settings = { LEVEL = "a$${b}", "SAID" = "\\"no\\"", DEBUG = true }"""
    staging = 'stack = "shop"\nregion = "eu-north-1"\naccount_id = "1"\nnat = "none"\nzones = 3\n'
    (theirs / "staging.tfvars").write_text(staging + given, encoding="utf-8")
    monkeypatch.setattr(environments, "PROJECT", tmp_path)
    found, files = environment.prepare(tmp_path / "made", theirs)
    assert (found.name, found.prefix, found.region) == ("rehearsal", "shop-rehearsal", "eu-north-1")
    assert found.variables["settings"] == environments.load("staging", theirs).variables["settings"]
    assert (found.variables["nat"], "zones" in found.variables) == ("none", False)
    assert files == {"environments/rehearsal.tfvars": tmp_path / "made" / "environments" / "rehearsal.tfvars"}
    shutil.copy2(files["environments/rehearsal.tfvars"], theirs)
    again, files = environment.prepare(tmp_path / "again", theirs)
    assert again == found
    assert files == {"environments/rehearsal.tfvars": tmp_path / "again" / "environments" / "rehearsal.tfvars"}


def test_a_network_that_an_environment_names_has_another_id_in_its_rehearsal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "environments"
    theirs.mkdir()
    network = (
        'vpc_id = "vpc-0a"\nsubnets = { public = ["subnet-1a", "subnet-1b"], private = [], data = ["subnet-3a"] }\n'
    )
    text = f'stack = "shop"\nregion = "eu-north-1"\naccount_id = "1"\n{network}'
    (theirs / "staging.tfvars").write_text(text, encoding="utf-8")
    monkeypatch.setattr(environments, "PROJECT", tmp_path)
    _, files = environment.prepare(tmp_path / "made", theirs)
    made = {"vpc-0a": "vpc-1", "subnet-1a": "subnet-1", "subnet-1b": "subnet-2", "subnet-3a": "subnet-3"}
    found = environment.write_network(made, files["environments/rehearsal.tfvars"])
    assert found.variables["vpc_id"] == "vpc-1"
    assert found.variables["subnets"] == {"public": ["subnet-1", "subnet-2"], "private": [], "data": ["subnet-3"]}
    assert (theirs / "staging.tfvars").read_text(encoding="utf-8") == text

    class Ec2:
        def describe_vpcs(self) -> dict[str, list[dict[str, str]]]:
            return {"Vpcs": [{"VpcId": "vpc-1"}]}

        def describe_subnets(self) -> dict[str, list[dict[str, str]]]:
            return {"Subnets": [{"SubnetId": "subnet-1"}, {"SubnetId": "subnet-3"}]}

    with pytest.raises(Failure, match="has deleted of the network") as caught:
        environment.require_network(Ec2(), made)
    assert caught.value.evidence == ("subnet-1b (subnet-2 here)",)


def test_two_rehearsals_of_one_checkout_do_not_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearse, "PROJECT", tmp_path)
    monkeypatch.setattr(rehearse, "FOLDER", tmp_path / ".stackhand" / "rehearsal")
    with rehearse._alone(), pytest.raises(Failure, match="Another"), rehearse._alone():
        pass


SAID = """  = lease        2.8 s  rehearsal in 000000000000: afade7c81d07
    · as rehearsal
  ✓ applied     40.5 s  123 to create; http://127.0.0.1:1
    · aws_vpc.main: Creation complete after 2s
  = probed       1.6 s  3 times in a row 200 from /up, at http://127.0.0.1:1
  ✗ Deploy of 4741b1eef7f9 to rehearsal failed: api failed.
    api: exit code 3
    next: ./inv cloud.logs -e rehearsal"""


def rehearsal(folder: Path, code: int, *, verbose: bool = False) -> Rehearsal:
    """A rehearsal whose verbs say the same each time, and end with a code."""

    class Checkout(Clone):
        def inv(self, _words: object, _environment: object, tell: Callable[[str], None]) -> tuple[int, list[str]]:
            for line in SAID.splitlines():
                tell(line)
            return code, SAID.splitlines()

    class Nothing(Resources):
        def look(self) -> None:
            pass

    return Rehearsal(
        AWS,
        environments.load("rehearsal"),
        Checkout(folder),
        Nothing(AWS),
        RehearsalOutput(folder / "logs", verbose=verbose),
    )


@pytest.mark.parametrize("verbose", [False, True])
def test_a_failure_of_a_verb_is_on_the_screen_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verbose: bool
) -> None:
    with pytest.raises(Failure) as caught:
        rehearsal(tmp_path, 11, verbose=verbose).verb("first release", "deploy")
    Reporter(sys.stderr).failure(caught.value)
    shown = "".join(capsys.readouterr())
    assert shown.count("Deploy of 4741b1eef7f9") == shown.count("exit code 3") == 1
    assert ("Creation complete" in shown) == verbose
    assert str(tmp_path / "logs" / "first-release.log") in shown
    assert (tmp_path / "logs" / "first-release.log").read_text(encoding="utf-8").splitlines() == SAID.splitlines()


def test_of_a_verb_one_sees_what_it_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rehearsal(tmp_path, 10).verb("bad release", "deploy", expected=ExitCode.ROLLED_BACK)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["bad", "release:"],
        ["✓", "applied"],
        ["=", "probed"],
        ["✗", "Deploy"],
    ]


def test_without_providers_nothing_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The genuine Terraform, with a mirror that has nothing."""
    if not shutil.which("terraform"):
        pytest.skip("there is no terraform on PATH")
    (tmp_path / "terraformrc").write_text(f'provider_installation {{ filesystem_mirror {{ path = "{tmp_path}" }} }}')
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "terraformrc"))
    monkeypatch.delenv("STACKHAND_TERRAFORM", raising=False)
    monkeypatch.setattr(rehearse, "PROJECT", tmp_path)
    monkeypatch.setattr(rehearse, "FOLDER", tmp_path / ".stackhand" / "rehearsal")
    monkeypatch.setattr("stackhand.containers.docker.reach", lambda: None)
    monkeypatch.setattr(emulator, "start", lambda *_: pytest.fail("the emulator was started"))
    with pytest.raises(Failure) as caught:
        rehearse.rehearse(keep=False)
    assert (caught.value.what, caught.value.code) == ("Terraform cannot get its providers.", ExitCode.PREFLIGHT)
    assert all(way in caught.value.next for way in ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "STACKHAND_TERRAFORM"))
    assert "provider hashicorp/" in caught.value.evidence[0]  # whichever of them Terraform looks for first


def test_providers_that_can_be_had_are_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "terraform"
    program.write_text(
        """#!/bin/sh
[ "$1" = version ] && { echo '{"terraform_version": "1.11.4"}'; exit; }
echo '{"message_code":"installing_provider_message"}'
exec sleep 60
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("STACKHAND_TERRAFORM", str(program))
    monkeypatch.delenv("TF_PLUGIN_CACHE_DIR", raising=False)
    began = time.monotonic()
    working_directory.require_providers(Terraform(environments.load("rehearsal")))
    assert time.monotonic() - began < 30


def test_what_does_not_answer_is_said_in_words() -> None:
    assert version("http://127.0.0.1:1/_alb/shop").startswith("ConnectionRefusedError")
    assert words_of(10) == "rolled back"
    assert words_of(99) == "exit code 99"


def test_what_schedules_start_is_a_release_and_a_failed_one_leaves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answer: dict[str, object] = {
        "State": "DISABLED",
        "Target": {"EcsParameters": {"TaskDefinitionArn": "arn:aws:ecs:x:1:a/shop-nightly"}},
    }
    asked = []

    class Scheduler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if answer else 404)
            self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Scheduler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        aws = replace(AWS, port=server.server_port)
        _require_released(aws, answer)
        server.shutdown()
    assert set(asked) == {"/schedules/nightly?groupName=shop-rehearsal"}


def _require_released(aws: Emulator, answer: dict[str, object]) -> None:
    with pytest.raises(Failure, match="the schedule of nightly does not start it") as caught:
        checks.revisions(aws, ["nightly"], "shop-rehearsal")
    assert caught.value.evidence == ("it starts shop-nightly",)
    answer["State"] = "ENABLED"
    answer["Target"] = {"EcsParameters": {"TaskDefinitionArn": "arn:aws:ecs:x:1:a/shop-nightly:2"}}
    found = checks.revisions(aws, ["nightly"], "shop-rehearsal")
    assert found == {"nightly": "shop-nightly:2"}
    answer.clear()
    with pytest.raises(Failure, match="does not start it"):
        checks.revisions(aws, ["nightly"], "shop-rehearsal")
    checks.require_unchanged(found, found)
    with pytest.raises(Failure, match="has changed what schedules start") as caught:
        checks.require_unchanged(found, {"nightly": "shop-nightly:3"})
    assert caught.value.evidence == ("nightly: shop-nightly:2 -> shop-nightly:3",)


def test_a_worker_that_runs_and_never_connected_does_not_run_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables of the kernel and the notes of the server before a database are as they were seen."""
    said = {
        "ps --quiet --filter label=com.amazonaws.ecs.container-name=worker": "task\n",
        "ps --quiet --filter label=db_id=shop-rehearsal-db": "db\n",
        "ps --quiet --filter label=rg_id=shop-rehearsal-cache": "cache\n",
        "container inspect task": json.dumps([{"NetworkSettings": {"Networks": {"n": {"IPAddress": "172.21.0.5"}}}}]),
        "container inspect db": json.dumps([{"NetworkSettings": {"Networks": {"n": {"IPAddress": "172.21.0.3"}}}}]),
        "logs --tail 10 task": "cannot connect, trying again\n",
    }
    tables = "exec cache cat /proc/net/tcp /proc/net/tcp6"
    table = "  0: 00000000:18EB 00000000:0000 0A\n"
    monkeypatch.setattr(Emulator, "containers", lambda _self: ["task", "db", "cache"])
    monkeypatch.setattr(checks, "WITHIN", 0.0)
    monkeypatch.setattr(
        checks.docker,
        "run",
        lambda *args, **_: subprocess.CompletedProcess(args, 0, said.get(" ".join(args), table), ""),
    )
    services = {
        "worker": {"image": "w", "x-aws": {"needs": ["db", "cache"]}},
        "db": {"image": "postgres:16", "x-aws": {}},
        "cache": {"image": "redis:7", "x-aws": {}},
    }
    stack = loading.of(tmp_path, {"services": services}, "compose.yaml")
    rehearsal = Environment("rehearsal", "shop", "eu-west-1", "1")
    notes = tmp_path / "connections-4566.log"
    with pytest.raises(Failure, match="worker runs, and has not connected to db or cache within 0 s") as caught:
        list(checks.connected(AWS, tmp_path, stack, rehearsal))
    assert list(caught.value.evidence) == ["cannot connect, trying again"]
    notes.write_text("172.21.0.3 172.21.0.4\n172.21.0.3 172.21.0.5\n")
    assert list(checks.connected(AWS, tmp_path, stack, rehearsal)) == ["worker"]
    notes.unlink()
    said[tables] = f"{table} 1: x:1 050015AC:9 01\n"
    assert list(checks.connected(AWS, tmp_path, stack, rehearsal)) == ["worker"]
