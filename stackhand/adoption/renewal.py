"""The part of an upgrade that the new version does: its steps, the generated files, and the lock as the last thing.

`python -m stackhand.adoption.renewal VERSION CONTENT REQUIREMENT [--dry-run]`: the version that the project has run
and its content, and a file with the requirement of the new one. What a project has to change for a version, beyond the
files that are generated, is a class for each such change.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from packaging.version import Version

from stackhand import VERSION
from stackhand.adoption import eject, files, init, pin, repository
from stackhand.adoption.answers import defaults
from stackhand.adoption.files import File
from stackhand.cli import console, streams
from stackhand.cli.failure import Failure
from stackhand.cli.reporter import Reporter
from stackhand.project import environments
from stackhand.system.roots import LOCK, PROJECT

DIFF_LINES = 60


class UpgradeStep(Protocol):
    """A change of the project that a version asks for."""

    version: str
    """The version from which on it is needed."""

    def run(self, root: Path, *, check: bool) -> list[str]:
        """Make the change, or with `check` nothing, and return a sentence on each thing that was to be done.

        It may run twice: what is done already is left as it is.
        """


class MoveEnvironments:
    """The files of variables lie in `environments/`: before, they were in Terraform's own folder."""

    version = "0.2.0"

    def run(self, root: Path, *, check: bool) -> list[str]:
        """Move what is not there yet."""
        target = root / "environments"
        found = sorted((root / "terraform" / "environments").glob("*.tfvars"))
        waiting = [each for each in found if not (target / each.name).exists()]
        if not check:
            for each in waiting:
                target.mkdir(exist_ok=True)
                each.rename(target / each.name)
        return [f"terraform/environments/{each.name} is now environments/{each.name}" for each in waiting]


STEPS: Sequence[UpgradeStep] = (MoveEnvironments(),)


def between(before: str, after: str, steps: Iterable[UpgradeStep] = STEPS) -> list[UpgradeStep]:
    """Return the steps from one version to another, in their order; where the first is not known, all count."""
    first = Version(before) if before else None
    wanted = [each for each in steps if not first or base(Version(each.version)) > base(first)]
    wanted = [each for each in wanted if base(Version(each.version)) <= base(Version(after))]
    return sorted(wanted, key=lambda each: Version(each.version))


def base(version: Version) -> Version:
    """Return a version without what tells builds of it apart: a development version has the steps of its release."""
    return Version(version.base_version)


def renew(before: str, old: Path, requirement: str, *, check: bool) -> list[str]:
    """Bring the project to this version, or with `check` do nothing, and return a sentence on each thing that is done.

    Raises:
        Failure: a file cannot be written, or Compose rejects the project's files.
    """
    lock = pin.read()
    done = [line for step in between(before, VERSION) for line in step.run(PROJECT, check=check)]
    stack, services = init.classified()
    git = repository.of(PROJECT)
    answers = pin.answers(lock) or defaults(stack, services, git)
    records = pin.recorded(lock)
    for each in files.files(stack, services, answers, git):
        done += _renewed(each, records, check=check)
    done += eject.merge(old, check=check)
    text = pin.text(requirement, pin.packages(), answers, records)
    if not check:
        files.replace(PROJECT, File(LOCK, text))
    return [*done, f"{LOCK} names {VERSION} instead of {before}"]


def _renewed(file: File, records: dict[str, str], *, check: bool) -> list[str]:
    """Renew a file that nobody has edited; beside one that somebody has, put the new one as FILE.new."""
    new = pin.digest(file.text)
    if records.get(file.path) == new:
        return []
    match pin.state(PROJECT, file.path, records):
        case "unedited":
            if not check:
                files.replace(PROJECT, file)
            records[file.path] = new
            return [f"{file.path} is renewed"]
        case "edited":
            beside = File(f"{file.path}.new", file.text, file.executable)
            if not check:
                files.replace(PROJECT, beside)
            return [f"{file.path} was edited, and stays; {beside.path} is what this version has:", *_diff(file)]
        case _:  # somebody has removed it, or it was never ours
            return []


def _diff(file: File) -> list[str]:
    before = (PROJECT / file.path).read_text(encoding="utf-8").splitlines()
    lines = list(difflib.unified_diff(before, file.text.splitlines(), file.path, f"{file.path}.new", lineterm=""))
    more = [f"... and {len(lines) - DIFF_LINES} lines more"] if len(lines) > DIFF_LINES else []
    return [f"    {line}" for line in [*lines[:DIFF_LINES], *more]]


def main(args: list[str]) -> int:
    """Renew the project, and return the exit code."""
    streams.prepare()
    before, old, own = args[:3]
    check = "--dry-run" in args
    try:
        done = renew(before, Path(old), Path(own).read_text(encoding="utf-8"), check=check)
    except Failure as failure:
        Reporter(sys.stderr).failure(failure)
        return int(failure.code)
    console.write("would be done:" if check else "done:")
    for line in done:
        console.write(f"  {'' if line.startswith(' ') else console.glyph('note') + ' '}{line}")
    for name in environments.known():
        console.write(f"  {console.glyph('note')} what it changes on AWS: ./inv plan -e {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
