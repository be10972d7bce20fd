"""The folder that Terraform runs in: the content's files and the project's own, without writing to either."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.terraform import working_directory
from stackhand.infrastructure.terraform.working_directory import LOCK


def write(root: Path, **files: str) -> Path:
    """Write files into the folder `terraform` of a root; their names have __ in place of a dot."""
    for name, text in files.items():
        path = root / "terraform" / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def content(tmp_path: Path) -> Path:
    return write(tmp_path / "content", ecs__tf='backend "s3" {}', names__tf="", placeholder__py="")


def test_the_configuration_is_both_and_follows_a_new_version(tmp_path: Path, content: Path) -> None:
    project, folder = write(tmp_path / "project", queue__tf="#", own__tfvars="", tests="", __hidden=""), tmp_path / "f"
    (project / "terraform" / "modules").mkdir()
    working_directory.place(folder, content, project)
    assert {path.name: path.readlink().parents[1].name for path in folder.iterdir()} == {
        **dict.fromkeys(("ecs.tf", "names.tf", "placeholder.py"), "content"),
        **dict.fromkeys(("modules", "queue.tf"), "project"),
    }
    newer = write(tmp_path / "newer", ecs__tf="")
    working_directory.place(folder, newer, write(tmp_path / "other"))
    assert {path.name: path.readlink().parents[1].name for path in folder.iterdir()} == {"ecs.tf": "newer"}


def test_a_file_of_two_is_refused_and_a_configuration_with_a_state_is_left_alone(tmp_path: Path, content: Path) -> None:
    project = write(tmp_path / "project", ecs__tf="", names__tf="", queue__tf="")
    with pytest.raises(Failure, match=r"terraform/ecs\.tf has the name of a file of Stackhand's") as found:
        working_directory.files(content, project)
    assert (found.value.code, found.value.evidence) == (ExitCode.PREFLIGHT, ("terraform/names.tf too",))
    write(project, main__tf='terraform {\n  backend "s3" {}\n}\n')
    assert "queue.tf" not in working_directory.files(content, project)


def test_checksums_are_those_of_the_project_and_what_terraform_adds_stays(tmp_path: Path, content: Path) -> None:
    project, folder = tmp_path / "project", tmp_path / "f"
    lock = folder / LOCK
    working_directory.place(folder, content, project)
    assert not lock.exists()
    lock.write_text("of the first plan", encoding="utf-8")
    working_directory.place(folder, content, project)
    assert lock.read_text(encoding="utf-8") == "of the first plan"
    write(content, **{LOCK: "of the content"})
    working_directory.place(folder, content, project)
    assert lock.read_text(encoding="utf-8") == "of the content"
    lock.write_text("of the content, and more", encoding="utf-8")
    working_directory.place(folder, content, project)
    assert lock.read_text(encoding="utf-8") == "of the content, and more"
    write(project, **{LOCK: "of the project"})
    working_directory.place(folder, content, project)
    assert lock.read_text(encoding="utf-8") == "of the project"
    (project / "terraform" / LOCK).unlink()
    (content / "terraform" / LOCK).unlink()
    working_directory.place(folder, content, project)
    assert not lock.exists()
