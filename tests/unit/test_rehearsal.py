"""The parts of a rehearsal that need no emulator."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stackhand.ansible.events import EVENTS
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.reporter import Reporter
from stackhand.infrastructure.terraform import working_directory
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.local.engines.embedded.launch import birth
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.project.stack import loading
from stackhand.project.state import LOCK_HELD
from stackhand.rehearsal import (
    address,
    connections,
    emulator,
    environment,
    existing_network,
    rehearse,
    sabotage,
    schedules,
)
from stackhand.rehearsal.clone import Clone, link_environment
from stackhand.rehearsal.emulator import Emulator
from stackhand.rehearsal.resources import Resources
from stackhand.rehearsal.scenario import Rehearsal, RehearsalOutput, version, words_of
from stackhand.system import roots
from tests.checkout import ROOT
from tests.cloud.repository import Repository

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
    [("172.17.0.1", ["127.0.0.1:4566", "172.17.0.1:4566"]), (address.FROM_A_CONTAINER, ["127.0.0.1:4566"])],
)
def test_the_emulator_listens_for_this_machine_and_its_containers(gateway: str, addresses: list[str]) -> None:
    words = emulator.command(4566, gateway)
    assert [words[at + 1] for at, word in enumerate(words) if word == "--bind"] == addresses


def test_the_emulator_starts_also_when_its_environment_was_made_under_another_path() -> None:
    words = emulator.command(4566, "172.17.0.1")
    assert (Path(words[0]).name, words[1]) == ("python", "-m")  # a script would name that path


def test_the_emulator_sees_no_other_package_and_has_ports_of_its_own(tmp_path: Path) -> None:
    first, second = (emulator._environment(tmp_path, port, "eu-west-1") for port in address.PORTS[:2])
    bases = [each[name] for each in (first, second) for name in ("ELASTICACHE_BASE_PORT", "RDS_BASE_PORT")]
    assert len({*bases}) == 4
    path = Path(first["PYTHONPATH"])
    assert [each.resolve() for each in path.iterdir()] == [Path(roots.__file__).parents[1]]


def test_an_emulator_is_known_by_more_than_the_number_of_its_process(tmp_path: Path) -> None:
    assert AWS.alive
    assert not Emulator(AWS.pid, "another birth", 4566, "eu-west-1", "", "").alive
    assert emulator.remembered(tmp_path) is None
    (tmp_path / "emulator.json").write_text(json.dumps(asdict(AWS)), encoding="utf-8")
    assert emulator.remembered(tmp_path) == AWS


def test_lines_are_added_to_the_stage_that_is_released() -> None:
    stages = "FROM a AS production\nCMD x\n\nFROM b AS tests\nCMD y\n"
    wanted = "FROM a AS production\nCMD x\nCMD z\n\nFROM b AS tests\nCMD y\n"
    assert sabotage.ending_with(stages, ["CMD z"]) == wanted
    assert sabotage.ending_with("FROM a\nCMD x\n", ["CMD z"]) == "FROM a\nCMD x\nCMD z\n\n"


COMPOSE = """
services:
  db: {image: "postgres:16", x-aws: {managed: rds, class: db.t4g.micro}}
  migrate: {build: web, command: [migrate], x-aws: {release: true}}
  web:
    build: web
    ports: ["80"]
    depends_on: {migrate: {condition: service_completed_successfully}}
    x-aws: {port: 80}
  alone: {build: alone, ports: ["81"], x-aws: {port: 81}}
"""
OVERRIDDEN = COMPOSE.replace("build: web\n", "build: web\n    command: [serve]\n")
MIGRATES_ITSELF = """
services:
  web: {build: web, command: [serve], ports: ["80"], x-aws: {port: 80, migrate: "app migrate"}}
"""
NEVER = MIGRATES_ITSELF.replace(', migrate: "app migrate"', "")


@pytest.mark.parametrize(
    ("compose", "file", "broken"),
    [
        # The job runs in the same image, by its entrypoint.
        (COMPOSE, "web/Dockerfile", f"FROM a\nCMD {sabotage.EXITS}\n\n"),
        (
            COMPOSE.replace("build: web\n", "build: web\n    command: [serve]\n"),
            "alone/Dockerfile",
            "ENTRYPOINT []\nCMD",
        ),
        (MIGRATES_ITSELF, "compose.stackhand.yaml", "  web:\n    command:\n    - sh\n"),
        (
            MIGRATES_ITSELF.replace(', migrate: "app migrate"', ""),
            "compose.stackhand.yaml",
            "    entrypoint:\n    - sh\n",
        ),
    ],
    ids=["image of a job too", "image that the Compose file overrides", "migrates itself", "no image would do"],
)
def test_a_bad_release_fails_and_its_migration_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compose: str, file: str, broken: str
) -> None:
    (tmp_path / "compose.yaml").write_text(compose, encoding="utf-8")
    for name in ("web", "alone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text("FROM a\n", encoding="utf-8")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(sabotage, "PROJECT", tmp_path)
    sabotage.apply(Clone(tmp_path))
    (changed,) = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and ".stackhand" not in path.parts and before.get(path) != path.read_bytes()
    ]
    assert (str(changed.relative_to(tmp_path)), broken in changed.read_text(encoding="utf-8")) == (file, True)


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
    found = existing_network.write(made, files["environments/rehearsal.tfvars"])
    assert found.variables["vpc_id"] == "vpc-1"
    assert found.variables["subnets"] == {"public": ["subnet-1", "subnet-2"], "private": [], "data": ["subnet-3"]}
    assert (theirs / "staging.tfvars").read_text(encoding="utf-8") == text

    class Ec2:
        def describe_vpcs(self) -> dict[str, list[dict[str, str]]]:
            return {"Vpcs": [{"VpcId": "vpc-1"}]}

        def describe_subnets(self) -> dict[str, list[dict[str, str]]]:
            return {"Subnets": [{"SubnetId": "subnet-1"}, {"SubnetId": "subnet-3"}]}

    with pytest.raises(Failure, match="has deleted of the network") as caught:
        existing_network.require(Ec2(), made)
    assert caught.value.evidence == ("subnet-1b (subnet-2 here)",)


def test_a_clone_of_a_folder_of_a_repository_has_all_of_it_and_runs_the_verbs_of_this_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Repository(tmp_path / "root")
    root.write("web/main", "1")
    root.write("deploy/compose.yaml", "services: {}")
    root.commit("First")
    root.write("web/main", "2")
    (root.path / "deploy" / ".venv").mkdir()  # their own
    monkeypatch.setattr("stackhand.rehearsal.clone.PROJECT", root.path / "deploy")
    (tmp_path / "made").write_text('stack = "shop"', encoding="utf-8")
    clone = Clone.make(tmp_path / "copy", {"environments/rehearsal.tfvars": tmp_path / "made"})
    assert clone.git("ls-files", "deploy", "web").split() == [
        "deploy/compose.yaml",
        "deploy/environments/rehearsal.tfvars",
        "web/main",
    ]
    assert (clone.path / "web" / "main").read_text(encoding="utf-8") == "2"
    assert clone.git("status", "--porcelain") == ""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho "$@" in $PWD for ${roots.VARIABLE}\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    project = clone.path / "deploy"
    _, lines = clone.inv(["plan"], {roots.VARIABLE: "/another", "PATH": os.environ["PATH"]}, lambda _line: None)
    assert lines == [f"-P -m stackhand plan in {project} for {project}"]


def test_a_copy_has_what_is_not_committed_as_a_commit_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "kept").write_text("1", encoding="utf-8")
    (root / "gone").write_text("1", encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    before = Clone(root).commit("First")
    monkeypatch.setattr("stackhand.rehearsal.clone.PROJECT", root)
    assert Clone.make(tmp_path / "same").head == before
    (root / "kept").write_text("2", encoding="utf-8")
    (root / "gone").unlink()
    (root / "new").write_text("1", encoding="utf-8")
    copy = Clone.make(tmp_path / "copy")
    assert copy.head != before
    assert copy.git("ls-files").split() == ["kept", "new"]
    assert copy.git("status", "--porcelain") == ""
    copy.back(before)
    assert (copy.path / "kept").read_text(encoding="utf-8") == "1"


def test_a_copy_has_the_submodules_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, root = Repository(tmp_path / "library"), Repository(tmp_path / "root")
    library.commit("recorded")
    root.git("submodule", "--quiet", "add", str(library.path), "library")
    head = root.commit("First")
    (root.path / "library" / "file").write_text("changed", encoding="utf-8")
    monkeypatch.setattr("stackhand.rehearsal.clone.PROJECT", root.path)
    copy = Clone.make(tmp_path / "copy")
    assert (copy.path / "library" / "file").read_text(encoding="utf-8") == "recorded"
    assert copy.head == head


def test_a_program_of_a_copys_environment_belongs_to_the_copy(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    venv.create(outer / ".venv", symlinks=True)
    packages = next((outer / ".venv" / "lib").glob("*/site-packages"))
    (packages / "checkout.pth").write_text(
        "import os, sys; sys.path.append(os.path.dirname(sys.prefix))\n", encoding="utf-8"
    )
    for root in (outer, inner):
        (root / "shop").mkdir(parents=True)
        (root / "shop" / "__init__.py").write_text(f"name = {root.name!r}", encoding="utf-8")
    program = outer / ".venv" / "bin" / "shop"
    program.write_text(f"#!{outer}/.venv/bin/python\nimport shop; print(shop.name)\n", encoding="utf-8")
    program.chmod(0o755)
    link_environment(outer / ".venv", inner / ".venv")
    for root in (outer, inner):
        said = subprocess.run([root / ".venv" / "bin" / "shop"], cwd="/", capture_output=True, text=True, check=True)
        assert said.stdout == f"{root.name}\n"
    (inner / ".venv" / "tools" / "new").touch()  # what is installed into one is in the other, and so is the note of it
    assert (outer / ".venv" / "tools" / "new").exists()
    shutil.rmtree(inner)
    assert packages.is_dir()


def test_rehearsal_without_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackhand.rehearsal.clone.PROJECT", tmp_path)
    with pytest.raises(Failure, match="needs the git history of this checkout"):
        Clone.make(tmp_path / "copy")


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


def test_a_verb_in_the_clone_acts_on_the_clone(tmp_path: Path) -> None:
    (tmp_path / "inv").write_text("env\n", encoding="utf-8")
    shell = {roots.VARIABLE: "/somewhere", LOCK_HELD: "/somewhere", EVENTS: "7", "STACKHAND_TERRAFORM": "mine"}
    _, lines = Clone(tmp_path).inv([], {**shell, "PATH": os.environ["PATH"]}, lambda _line: None)
    assert sorted(line for line in lines if line.startswith("STACKHAND_")) == [
        *sorted([f"{roots.VARIABLE}={tmp_path}", "STACKHAND_TERRAFORM=mine"])
    ]


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
        schedules.revisions(aws, ["nightly"], "shop-rehearsal")
    assert caught.value.evidence == ("it starts shop-nightly",)
    answer["State"] = "ENABLED"
    answer["Target"] = {"EcsParameters": {"TaskDefinitionArn": "arn:aws:ecs:x:1:a/shop-nightly:2"}}
    found = schedules.revisions(aws, ["nightly"], "shop-rehearsal")
    assert found == {"nightly": "shop-nightly:2"}
    answer.clear()
    with pytest.raises(Failure, match="does not start it"):
        schedules.revisions(aws, ["nightly"], "shop-rehearsal")
    schedules.require_unchanged(found, found)
    with pytest.raises(Failure, match="has changed what schedules start") as caught:
        schedules.require_unchanged(found, {"nightly": "shop-nightly:3"})
    assert caught.value.evidence == ("nightly: shop-nightly:2 -> shop-nightly:3",)


def test_the_emulator_has_each_service_that_a_deploy_asks() -> None:
    called = {"application-autoscaling": "autoscaling", "cloudwatch": "monitoring", "elbv2": "elasticloadbalancing"}
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "stackhand").rglob("*.py")]
    asked = {name for text in texts for name in re.findall(r"""\.client\("([a-z0-9-]+)"\)""", text)}
    assert len(asked) > 10
    assert {called.get(name, name) for name in asked} <= {*emulator.SERVICES}


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
    monkeypatch.setattr(connections, "WITHIN", 0.0)
    monkeypatch.setattr(
        connections.docker,
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
        list(connections.require(AWS, tmp_path, stack, rehearsal))
    assert list(caught.value.evidence) == ["cannot connect, trying again"]
    notes.write_text("172.21.0.3 172.21.0.4\n172.21.0.3 172.21.0.5\n")
    assert list(connections.require(AWS, tmp_path, stack, rehearsal)) == ["worker"]
    notes.unlink()
    said[tables] = f"{table} 1: x:1 050015AC:9 01\n"
    assert list(connections.require(AWS, tmp_path, stack, rehearsal)) == ["worker"]


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
