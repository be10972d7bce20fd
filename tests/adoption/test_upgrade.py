"""A project is raised from the wheel of one tag to that of the next, with files that somebody has edited and others."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import installed
from tests.checkout import ROOT, Said, clean_environment
from tests.installed import Project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]
WORKFLOW = ".github/workflows/stackhand.yml"
ROLE, OTHER = "roles/stack/tasks/main.yml", "roles/stack/tasks/stopped.yml"


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, and return what it prints."""
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Wheels:
    """The wheels of two versions, by their tags; the second has another `inv`, workflow and role, in two files."""

    old: Path
    new: Path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    folder = tmp_path_factory.mktemp("wheels")
    source = folder / "source"
    git(folder, "clone", "--quiet", str(ROOT), str(source))
    for name in git(ROOT, "ls-files", "-z", "--modified", "--others", "--exclude-standard").split("\0"):
        if (ROOT / name).is_file():  # what is not committed here is tested as well
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    git(source, "add", "--all")
    git(source, "commit", "--quiet", "--allow-empty", "--message", "One")
    built = []
    for tag in ("v90.1.0", "v90.2.0"):
        git(source, "tag", tag)
        build = [installed.UV, "build", "-q", "--wheel", "--out-dir", str(folder / tag), str(source)]
        subprocess.run(build, check=True, timeout=120)
        built.append(next((folder / tag).glob("*.whl")))
        for name in ("inv", "stackhand/adoption/templates/workflow.yml", ROLE, OTHER):
            with (source / name).open("a", encoding="utf-8") as file:
                file.write("# of the next version\n")
        git(source, "commit", "--quiet", "--all", "--message", "Two")
    return Wheels(*built)


@dataclass(frozen=True)
class Adopted(Project):
    """A project, and the environment in which the old version is installed."""

    def stackhand(self, *words: str) -> Said:
        """Run the old version on the project, which has no environment of its own yet."""
        return self.run("stackhand", *words, check=False, timeout=180, STACKHAND_PROJECT=str(self.path))

    def text(self, name: str) -> str:
        """Return a file of it."""
        return (self.path / name).read_text(encoding="utf-8")

    def append(self, name: str, line: str) -> None:
        """Edit a file of it."""
        (self.path / name).write_text(self.text(name) + line, encoding="utf-8")


@pytest.fixture(scope="module")
def environment(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the old version."""
    folder = tmp_path_factory.mktemp("old")
    installed.install(folder / "environment", wheels.old)
    return folder / "environment"


@pytest.fixture
def project(environment: Path, tmp_path: Path) -> Adopted:
    """A project that has adopted the old version; `inv` of it is not run, for it would make another environment."""
    path = tmp_path / "shop"
    path.mkdir()
    git(path, "init", "--quiet")
    (path / "compose.yaml").write_text('services: {cache: {image: "redis:7-alpine"}}\n', encoding="utf-8")
    made = Adopted(path, environment)
    said = made.stackhand("init", "--yes")
    assert said.code == 0, said.out + said.err
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message", "Adopt Stackhand")
    return made


def test_unedited_files_are_renewed_edited_ones_are_kept_and_ejected_ones_are_merged(
    project: Adopted, wheels: Wheels
) -> None:
    assert project.stackhand("eject", "roles").code == 0
    project.append(WORKFLOW, "# ours\n")
    role = project.text(f"ops/{ROLE}")
    (project.path / "ops" / ROLE).write_text(f"# ours\n{role}", encoding="utf-8")
    project.append(f"ops/{OTHER}", "# ours\n")  # where the new version has another line
    git(project.path, "add", "--all")
    git(project.path, "commit", "--quiet", "--message", "Edit")

    preview = project.stackhand("upgrade", "--to", str(wheels.new), "--dry-run")
    assert preview.code == 0, preview.out + preview.err
    assert git(project.path, "status", "--porcelain") == ""

    (project.path / "inv.was").write_text(project.text("inv"), encoding="utf-8")
    said = project.stackhand("upgrade", "--to", str(wheels.new))
    assert said.out.startswith("done:\n" + preview.out.removeprefix("would be done:\n")), said.out + said.err
    assert "inv is renewed" in said.out
    assert f"{WORKFLOW} was edited, and stays; {WORKFLOW}.new is what this version has:" in said.out
    assert "    +# of the next version" in said.out
    assert f"ops/{ROLE} is merged" in said.out
    assert f"ops/{OTHER}: 1 conflicts, marked <<<<<<<" in said.out
    assert project.text("inv").endswith("# of the next version\n")
    assert project.text(WORKFLOW).endswith("# ours\n")
    assert project.text(f"{WORKFLOW}.new").endswith("# of the next version\n")
    assert project.text(f"ops/{ROLE}") == f"# ours\n{role}# of the next version\n"
    assert wheels.new.name in project.text("stackhand.lock")
    assert "docker" in said.out  # of the doctor, which the new version's inv has run


def test_a_step_back_and_a_version_that_cannot_be_installed_change_nothing(
    project: Adopted, wheels: Wheels, tmp_path: Path
) -> None:
    back = project.stackhand("upgrade", "--to", "90.0.1")
    assert (back.code, back.err.splitlines()[0]) == (
        2,
        "  ✗ 90.0.1 is older than 90.1.0, which runs here; a downgrade is refused.",
    )
    assert project.stackhand("upgrade", "--to", "90.9.9").code == 3
    broken = tmp_path / "stackhand-91.0.0-py3-none-any.whl"
    broken.write_bytes(b"no wheel")
    said = project.stackhand("upgrade", "--to", str(broken))
    assert said.code == 3, said.out + said.err
    assert "Traceback" not in said.err
    assert not (project.path / ".stackhand" / "upgrade").exists()
    same = project.stackhand("upgrade", "--to", str(wheels.old))
    assert (same.code, same.out) == (0, "stackhand.lock has that version already: 90.1.0\n")
    assert git(project.path, "status", "--porcelain") == ""


def test_the_pin_wins_over_the_version_that_is_called_and_that_is_said_once(environment: Path, tmp_path: Path) -> None:
    project = Adopted(tmp_path, environment)
    (project.path / "inv").write_text('#!/bin/sh\necho "pinned: $*"\n', encoding="utf-8")
    (project.path / "inv").chmod(0o755)
    (project.path / "stackhand.lock").write_text("stackhand==95.0\n", encoding="utf-8")
    (project.path / "src").mkdir()
    said = []
    for _ in range(2):
        program = [str(project.environment / "bin" / "stackhand"), "status", "--json"]
        folder, variables = project.path / "src", clean_environment()
        said.append(subprocess.run(program, cwd=folder, env=variables, capture_output=True, text=True, check=False))
    assert [each.stdout for each in said] == ["pinned: status --json\n"] * 2
    assert said[0].stderr.startswith("stackhand.lock names 95.0, and that runs here; this is 90.1.0 (")
    assert said[1].stderr == ""


def test_a_file_of_somebody_elses_stays_and_is_named(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text('services: {cache: {image: "redis:7-alpine"}}\n', encoding="utf-8")
    (tmp_path / "inv").write_text("theirs\n", encoding="utf-8")
    project = Adopted(tmp_path, environment)
    assert "inv was there, is not Stackhand's, and stays as it is" in project.stackhand("init", "--yes").out
    assert project.text("inv") == "theirs\n"
    project.stackhand("remove", "--yes")
    assert project.text("inv") == "theirs\n"
