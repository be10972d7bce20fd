"""`./inv eject`: copy a part of the content into the project, where it then wins over Stackhand's own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from stackhand.adoption.files import File, replace
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited
from stackhand.system import program
from stackhand.system.roots import CONTENT, EJECTED, IS_CHECKOUT, PARTS, PROJECT

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.tfvars.json", ".terraform", "tests")
WITHIN = 30.0


def eject(part: str) -> None:
    """Copy a part of the content, one of PARTS, into the project.

    Raises:
        Failure: there is no such part, it is in the project already, or it cannot be copied.
    """
    if part not in PARTS:
        raise Failure(f"There is no part {part!r}.", evidence=[f"parts: {', '.join(PARTS)}"], code=ExitCode.USAGE)
    if IS_CHECKOUT:
        what = f"This is a checkout of Stackhand: {PARTS[part]}/ is its own, and yours to edit."
        raise Failure(what, code=ExitCode.USAGE)
    target = EJECTED / PARTS[part]
    shown = target.relative_to(PROJECT)
    if target.exists():
        raise Failure(
            f"{shown} is there already, and wins.",
            next=f"edit it, or remove it to have Stackhand's own again: rm -r {shown}",
            code=ExitCode.USAGE,
        )
    try:
        shutil.copytree(CONTENT / PARTS[part], target, ignore=LEFT_OUT)
    except OSError as error:
        raise Failure(f"{target} cannot be written: {error.strerror}.", code=ExitCode.PREFLIGHT) from error
    console.write(f"{shown} is yours now, and wins over Stackhand's own; ./inv upgrade merges later versions into it")


def merge(old: Path, *, check: bool) -> list[str]:
    """Merge this version's content into what was ejected, and return a sentence on each file that changes.

    Args:
        old: the content of the version that was run before, which the copies were made from, or merged with.
        check: change nothing.

    Raises:
        Failure: git cannot be run.
    """
    return [line for name in PARTS.values() if (EJECTED / name).is_dir() for line in _merged(name, old, check=check)]


def _merged(name: str, old: Path, *, check: bool) -> Iterator[str]:
    for each in sorted({*_files(old / name), *_files(CONTENT / name)}):
        base, new, own = _text(old / name / each), _text(CONTENT / name / each), _text(EJECTED / name / each)
        path = str((EJECTED / name / each).relative_to(PROJECT))
        if new in {base, own}:
            continue
        if new is None:
            yield f"{path} is gone from this version, and stays here"
        elif own is None and base is not None:
            yield f"{path} was removed here, and has changed in this version: not brought back"
        else:
            text, conflicts = _three_way(own or "", base or "", new)
            if not check:
                replace(PROJECT, File(path, text))
            yield f"{path}: {conflicts} conflicts, marked <<<<<<<" if conflicts else f"{path} is merged"


def _three_way(own: str, base: str, new: str) -> tuple[str, int]:
    """Return the merged text, and how many conflicts it has."""
    folder = PROJECT / ".stackhand" / "upgrade"
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"yours": own, "before": base, "stackhand": new}
    for label, content in paths.items():
        (folder / label).write_text(content, encoding="utf-8")
    args = ["git", "merge-file", "-p", *(word for label in paths for word in ("-L", label)), *paths]
    try:
        done = program.run(args, environment=inherited.environment("git"), folder=folder, timeout=WITHIN)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure("git cannot merge what was ejected.", evidence=[str(error)], code=ExitCode.PREFLIGHT) from error
    return done.stdout, done.stdout.count("<<<<<<< yours")


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and not {"__pycache__", ".terraform", "tests"} & {*relative.parts}:
            yield str(relative)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
