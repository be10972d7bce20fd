"""Packages that only some verbs need: each has a lock of its own, which `./inv` installs when it is first used."""

from __future__ import annotations

import fcntl
import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.system import program
from stackhand.system.roots import CONTENT, PROJECT

STAMPS = Path(sys.prefix) / ".stackhand"
"""Has a copy of each lock from which something was installed."""
BIN = Path(sys.prefix) / "bin"
TOOLS = Path(sys.prefix) / "tools"


@dataclass(frozen=True)
class Packages:
    """What one lock installs.

    Args:
        name: `requirements-NAME.lock` is the lock, and `./inv --install-NAME` installs it.
        label: what people call it.
        module: what it is known by where the user's own environment has it; empty for a program, which gets an
            environment of its own.
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
        stamp = STAMPS / self.lock
        if stamp.exists() and stamp.read_bytes() == (CONTENT / self.lock).read_bytes():
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
        with self._alone():
            if not self.current():
                self._install()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for whoever installs them into the same environment.

        Raises:
            Failure: it is another account's.
        """
        try:
            STAMPS.mkdir(exist_ok=True)
            file = (STAMPS / f"{self.name}.installing").open("w")
        except OSError as error:
            raise Failure(
                f"{self.label[:1].upper()}{self.label[1:]} cannot be installed: {sys.prefix} cannot be written.",
                evidence=[str(error)],
                next=f"install them there as its owner: {self.lock}",
                code=ExitCode.PREFLIGHT,
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _install(self) -> None:
        for args in self._commands():
            result = program.run(args, folder=PROJECT)
            if result.returncode != 0:
                raise Failure(
                    f"{self.label[:1].upper()}{self.label[1:]} could not be installed.",
                    evidence=result.stderr.replace("inv: ", "").splitlines(),
                    next="./inv doctor works without them",
                    code=ExitCode.PREFLIGHT,
                )
        shutil.copyfile(CONTENT / self.lock, STAMPS / self.lock)

    def _commands(self) -> list[list[str]]:
        """Return what installs them: `./inv` into the environment it has made, and uv into any other."""
        if Path(sys.prefix).resolve() == (CONTENT / ".venv").resolve():
            return [["sh", str(CONTENT / "inv"), f"--install-{self.name}"]]
        uv, folder = str(BIN / "uv"), Path(sys.prefix) if self.module else TOOLS / self.name
        make = [] if self.module else [[uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)]]
        python = str(folder / "bin" / "python")
        lock = str(CONTENT / self.lock)
        return [*make, [uv, "pip", "install", "-q", "--require-hashes", "--python", python, "-r", lock]]


CLOUD = Packages("cloud", "the packages for AWS", module="boto3")
MINISTACK = Packages("ministack", "the packages of the AWS emulator")
CHECKOV = Packages("checkov", "the packages of checkov")
