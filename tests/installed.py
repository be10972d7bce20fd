"""The package as people install it: the wheel of this checkout, and an environment that has it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.checkout import ROOT, Said, clean_environment

UV = str(ROOT / ".venv" / "bin" / "uv")


@dataclass(frozen=True)
class Project:
    """A project, and the environment that Stackhand is installed into."""

    path: Path
    environment: Path

    def run(
        self,
        *args: str,
        folder: str = ".",
        check: bool = True,
        stdin: str | None = None,
        timeout: float = 120,
        **variables: str,
    ) -> Said:
        """Run a program of the environment in a folder of the project."""
        program, *words = args
        done = subprocess.run(
            [str(self.environment / "bin" / program), *words],
            cwd=self.path / folder,
            env=clean_environment(**variables),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return Said(done.returncode, done.stdout, done.stderr)

    def git(self, *words: str) -> str:
        """Run git in it."""
        return subprocess.run(["git", *words], cwd=self.path, capture_output=True, text=True, check=True).stdout


def of_run(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder that all workers of a run share, made by the first one that asks for it.

    Args:
        name: of the folder.
        make: fills it.
    """
    own = Path(tempfile.gettempdir()).resolve()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with (shared / f"{name}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            make(shared / name)
            lock.write("made")
    return shared / name


def build(folder: Path) -> None:
    """Build the sdist of this checkout, and the wheel from it."""
    subprocess.run([UV, "build", "-q", "--out-dir", str(folder), str(ROOT)], check=True, timeout=120)


def wheel() -> Path:
    """Return the wheel of this checkout, built once in a run."""
    return next(of_run("dist", build).glob("*.whl"))


def install(environment: Path, package: Path, extras: str = "") -> None:
    """Make an environment of Python that has a wheel, with extras such as `[cloud]`."""
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, str(environment)], check=True, timeout=60)
    python = str(environment / "bin" / "python")
    wanted = f"stackhand{extras} @ {package.as_uri()}"
    subprocess.run([UV, "pip", "install", "-q", "--python", python, wanted], check=True, timeout=180)


def environment() -> Path:
    """Return an environment that has the wheel and what the verbs for AWS need, made once in a run."""
    return of_run("environment", lambda folder: install(folder, wheel(), "[cloud]"))
