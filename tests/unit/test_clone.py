"""The clone that a rehearsal releases: what is in it, and the service in it that is broken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from stackhand.ansible.events import EVENTS
from stackhand.cli.failure import Failure
from stackhand.project.state import LOCK_HELD
from stackhand.rehearsal.clone import EXITS, Clone, ending_with, link_environment
from stackhand.system import roots
from tests.cloud.repository import Repository


def test_lines_are_added_to_the_stage_that_is_released() -> None:
    stages = "FROM a AS production\nCMD x\n\nFROM b AS tests\nCMD y\n"
    wanted = "FROM a AS production\nCMD x\nCMD z\n\nFROM b AS tests\nCMD y\n"
    assert ending_with(stages, ["CMD z"]) == wanted
    assert ending_with("FROM a\nCMD x\n", ["CMD z"]) == "FROM a\nCMD x\nCMD z\n\n"


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
        (COMPOSE, "web/Dockerfile", f"FROM a\nCMD {EXITS}\n\n"),
        (OVERRIDDEN, "alone/Dockerfile", "ENTRYPOINT []\nCMD"),
        (MIGRATES_ITSELF, "compose.stackhand.yaml", "  web:\n    command:\n    - sh\n"),
        (NEVER, "compose.stackhand.yaml", "    entrypoint:\n    - sh\n"),
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
    monkeypatch.setattr("stackhand.rehearsal.clone.PROJECT", tmp_path)
    Clone(tmp_path).sabotage()
    (changed,) = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and ".stackhand" not in path.parts and before.get(path) != path.read_bytes()
    ]
    assert (str(changed.relative_to(tmp_path)), broken in changed.read_text(encoding="utf-8")) == (file, True)


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


def test_a_verb_in_the_clone_acts_on_the_clone(tmp_path: Path) -> None:
    (tmp_path / "inv").write_text("env\n", encoding="utf-8")
    shell = {roots.VARIABLE: "/somewhere", LOCK_HELD: "/somewhere", EVENTS: "7", "STACKHAND_TERRAFORM": "mine"}
    _, lines = Clone(tmp_path).inv([], {**shell, "PATH": os.environ["PATH"]}, lambda _line: None)
    assert sorted(line for line in lines if line.startswith("STACKHAND_")) == [
        *sorted([f"{roots.VARIABLE}={tmp_path}", "STACKHAND_TERRAFORM=mine"])
    ]
