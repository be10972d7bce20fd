"""Terraform's configuration: the files of the content, and those of the project beside them, linked in one folder.

Terraform writes into the folder that it runs in, and the content may be read-only and belong to several projects.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.system.roots import CONTENT, EJECTED, PROJECT

NAME = "terraform"
"""The folder of these files, in the content and in the project."""
LOCK = ".terraform.lock.hcl"
"""The checksums of the providers; Terraform adds those that it lacks."""
PLACED = f"{LOCK}.placed"
OF_NO_RUN = re.compile(r"\..*|tests|__pycache__|.*\.tfvars(\.json)?|.*\.tfstate(\..*)?")
"""Entries that are not linked: hidden ones, tests, values that Terraform would read by itself, and states."""
OWN_STATE = re.compile(r'^\s*(backend\s+"|cloud\s*\{)', re.MULTILINE)
"""What a configuration has that keeps a state of its own, and so is none to be placed beside ours."""


def place(folder: Path, content: Path = CONTENT, project: Path = PROJECT) -> None:
    """Have the configuration in a folder: only what differs is changed, for another command may use it meanwhile.

    Args:
        folder: which.
        content: whose files it has.
        project: whose own files it has as well.

    Raises:
        Failure: a file of the project has the name of one of the content.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = files(content, project)
    for path in [each for each in folder.iterdir() if each.is_symlink() and each.name not in wanted]:
        path.unlink(missing_ok=True)
    for name, target in wanted.items():
        link = folder / name
        if not (link.is_symlink() and link.readlink() == target):
            scratch = folder / f".{name}.{os.getpid()}"
            scratch.symlink_to(target)
            scratch.replace(link)
    _place_lock(folder, _committed(content, project))


def files(content: Path = CONTENT, project: Path = PROJECT) -> Mapping[str, Path]:
    """Return the files and folders of the configuration, by their names in it.

    Raises:
        Failure: two have one name.
    """
    ejected = project / EJECTED.name / NAME
    ours, theirs = _entries(ejected if content != project and ejected.is_dir() else content / NAME), {}
    if content != project and _is_part(project / NAME):
        theirs = _entries(project / NAME)
    if common := [f"{NAME}/{name}" for name in sorted(ours.keys() & theirs.keys())]:
        file = common[0]
        raise Failure(
            f"{file} has the name of a file of Stackhand's, and Terraform reads both in one folder.",
            evidence=[f"{each} too" for each in common[1:]],
            next=f"rename {file}, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    return ours | theirs


def unrecorded(folder: Path) -> bool:
    """Whether Terraform has taken providers whose checksums are neither in the project nor in the content."""
    lock = folder / LOCK
    return lock.is_file() and lock.read_bytes() != _committed(CONTENT, PROJECT)


def shown(folder: Path, name: str) -> str:
    """Return what messages call a file that Terraform has named: by its place in the project, or in the content."""
    path = (folder / name).resolve()
    if not path.exists():  # such as <value for var.nat>
        return name
    if CONTENT != PROJECT and path.is_relative_to(CONTENT):
        return f"Stackhand's {path.relative_to(CONTENT)}"
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


def _entries(folder: Path) -> dict[str, Path]:
    return {each.name: each for each in sorted(folder.iterdir()) if not OF_NO_RUN.fullmatch(each.name)}


def _is_part(folder: Path) -> bool:
    """Whether the project has files for our configuration, and not a configuration with a state of its own there."""
    sources = [path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("*.tf")]
    own_state = (folder / "terraform.tfstate").exists() or any(OWN_STATE.search(text) for text in sources)
    return bool(sources or [*folder.glob("*.tf.json")]) and not own_state


def _committed(content: Path, project: Path) -> bytes:
    """Return the checksums that the project has committed, or else those of the content; empty without both."""
    locks = (root / NAME / LOCK for root in (project, content))
    return next((path.read_bytes() for path in locks if path.is_file()), b"")


def _place_lock(folder: Path, wanted: bytes) -> None:
    """Give the folder the checksums, and keep what Terraform has added to them since."""
    placed = folder / PLACED
    if wanted == (placed.read_bytes() if placed.is_file() else b""):
        return
    for path in (folder / LOCK, placed):
        scratch = folder / f"{path.name}.{os.getpid()}"
        scratch.write_bytes(wanted)
        scratch.replace(path)
        if not wanted:
            path.unlink()
