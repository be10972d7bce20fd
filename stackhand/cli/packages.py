"""Packages that only some verbs need: each has a lock of its own, which `./inv` installs when it is first used."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from stackhand import ROOT
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.system import program


@dataclass(frozen=True)
class Packages:
    """What one lock installs.

    Args:
        name: `requirements-NAME.lock` is the lock, and `./inv --install-NAME` installs it.
        label: what people call it.
        module: what it is known by where the user's own environment has it.
    """

    name: str
    label: str
    module: str = ""

    @property
    def lock(self) -> str:
        """The lock's file name."""
        return f"requirements-{self.name}.lock"

    def current(self) -> bool:
        """Whether they are there, in the versions of the lock."""
        stamp = ROOT / ".venv" / ".stackhand" / self.lock
        if stamp.exists() and stamp.read_bytes() == (ROOT / self.lock).read_bytes():
            return True
        try:
            return bool(self.module) and importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    def ensure(self) -> None:
        """Have them: `./inv` installs them on first use and when the lock has changed.

        Raises:
            Failure: they cannot be installed; what `./inv` said is the evidence.
        """
        if self.current():
            return
        console.notify(f"installing {self.label} (only when their lock has changed) ...")
        args = ["sh", str(ROOT / "inv"), f"--install-{self.name}"]
        result = program.run(args, folder=ROOT)
        if result.returncode != 0:
            raise Failure(
                f"{self.label[:1].upper()}{self.label[1:]} could not be installed.",
                evidence=result.stderr.replace("inv: ", "").splitlines(),
                next="./inv doctor works without them",
                code=ExitCode.PREFLIGHT,
            )


CLOUD = Packages("cloud", "the packages for AWS", module="boto3")
MINISTACK = Packages("ministack", "the packages of the AWS emulator")
CHECKOV = Packages("checkov", "the packages of checkov")
