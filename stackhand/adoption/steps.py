"""What a project has to change for a version, beyond the files that are generated: one class for each such change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from packaging.version import Version


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
    """Return the steps from one version to another, in the order of their versions.

    Args:
        before: the version that the project has run; empty for one that is not known, from which all count.
        after: the version that it is to run.
        steps: all that there are.
    """
    first = Version(before) if before else None
    wanted = [each for each in steps if not first or base(Version(each.version)) > base(first)]
    wanted = [each for each in wanted if base(Version(each.version)) <= base(Version(after))]
    return sorted(wanted, key=lambda each: Version(each.version))


def base(version: Version) -> Version:
    """Return a version without what tells builds of it apart: a development version has the steps of its release."""
    return Version(version.base_version)
