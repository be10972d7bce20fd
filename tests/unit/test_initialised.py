"""Terraform is initialised again when anything of it has changed, or failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stackhand.infrastructure.terraform.working_directory import Initialised


class Folder:
    """A configuration with its data, and what init was given."""

    def __init__(self, place: Path) -> None:
        self.configuration, self.data, self.program = place / "configuration", place / "data", place / "terraform"
        (self.data / "providers").mkdir(parents=True)
        self.configuration.mkdir()
        self.backend, self.environment = ["bucket=one"], {"PATH": "", "AWS_PROFILE": "me"}
        for path in (self.configuration / "main.tf", self.data / "providers" / "aws", self.program):
            path.touch()
        self.program.chmod(0o755)

    @property
    def initialised(self) -> Initialised:
        return Initialised(self.data, self.configuration, [str(self.program)], self.backend, self.environment)


@pytest.mark.parametrize(
    ("change", "current"),
    [
        (lambda _: None, True),
        (lambda folder: folder.environment.update(AWS_PROFILE="you"), True),
        (lambda folder: folder.backend.append("region=two"), False),
        (lambda folder: folder.environment.update(TF_CLI_ARGS_init="-upgrade"), False),
        (lambda folder: (folder.configuration / "main.tf").write_text("terraform {}"), False),
        (lambda folder: (folder.configuration / ".terraform.lock.hcl").touch(), False),
        (lambda folder: (folder.data / "providers" / "aws").unlink(), False),
        (lambda folder: (folder.data / "terraform.tfstate").touch(), False),
        (lambda folder: folder.program.write_text("newer"), False),
        (lambda folder: folder.initialised.forget(), False),
    ],
)
def test_folder_is_initialised_again_when_something_of_it_has_changed(
    tmp_path: Path, change: Callable[[Folder], object], current: bool
) -> None:
    folder = Folder(tmp_path)
    assert not folder.initialised.current()
    folder.initialised.note()
    change(folder)
    assert folder.initialised.current() == current


def test_configuration_with_modules_is_initialised_each_time(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (folder.data / "modules").mkdir()
    (folder.data / "modules" / "modules.json").touch()
    folder.initialised.note()
    assert not folder.initialised.current()
