"""`./inv upgrade`: raise the version that a project runs.

The new version is installed beside the old one and does the rest itself (`renewal.py`): its steps, its files, its lock.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from stackhand import VERSION
from stackhand.adoption import pin
from stackhand.cli import console
from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.project import inherited
from stackhand.system import program
from stackhand.system.roots import CONTENT, IS_CHECKOUT, LOCK, PROJECT, VARIABLE

NEXT = PROJECT / ".stackhand" / "upgrade"
"""Where the new version is installed until `./inv` has it."""
INSTALLED_WITHIN = 600.0


def upgrade(*, to: str, dry_run: bool) -> None:
    """Raise the pin to a version or a wheel, by default the newest of the package index, and renew what was generated.

    Raises:
        Failure: the project has no lock, the version is older than its own, or it cannot be installed.
        Exit: the renewal failed, and has said why.
    """
    lock = pin.read()
    if IS_CHECKOUT or not lock:
        what = f"There is no {LOCK} here whose version could be raised."
        raise Failure(what, next="stackhand init", code=ExitCode.USAGE)
    asked = _requirement(to, lock)
    _refuse_older(version_of(asked))
    requirement = pin.hashed(asked)
    wanted = version_of(requirement)
    if requirement.strip() == pin.own(lock).strip():
        console.write(f"{LOCK} has that version already: {wanted or to}")
        return
    console.notify(f"installing {wanted or to} beside {VERSION} ...")
    try:
        python = _installed(requirement)
        code = _renew(python, dry_run=dry_run)
    finally:
        shutil.rmtree(NEXT, ignore_errors=True)
    if code != 0:
        raise Exit(ExitCode(code))
    if not dry_run:
        program.replace([str(PROJECT / "inv"), "doctor"])


def _requirement(to: str, lock: str) -> str:
    if to.endswith(".whl") and Path(to).exists():
        return f"stackhand @ {Path(to).resolve().as_uri()}"
    if "://" in to:
        return f"stackhand @ {to}"
    if to:
        return f"stackhand=={to.removeprefix('v')}"
    if "://" in pin.pinned(lock):
        raise Failure(
            f"{LOCK} names a file, and not a version of the package index: {pin.pinned(lock)}.",
            next="./inv upgrade --to VERSION, or the path of a wheel",
            code=ExitCode.USAGE,
        )
    return "stackhand"


def version_of(requirement: str) -> str:
    """Return the version that a requirement names, by its number or by the name of a wheel; empty for none."""
    if match := re.match(r"stackhand==(\S+)", requirement):
        return match[1]
    match = re.search(r"/([^/\s#]+\.whl)", requirement)
    try:
        return str(parse_wheel_filename(match[1].replace("%2B", "+"))[1]) if match else ""
    except InvalidWheelFilename:
        return ""


def _refuse_older(wanted: str) -> None:
    try:
        older = bool(wanted) and Version(wanted) < Version(VERSION)
    except InvalidVersion as error:
        raise Failure(f"{wanted} is no version.", next="a number such as 0.2.0", code=ExitCode.USAGE) from error
    if older:
        raise Failure(
            f"{wanted} is older than {VERSION}, which runs here; a downgrade is refused.",
            evidence=["files, state and tables may have been changed in a way that the older version does not know"],
            next=f"git revert the commit that changed {LOCK}, which takes the generated files back with it",
            code=ExitCode.USAGE,
        )


def _installed(requirement: str) -> Path:
    """Install a version with the packages of its own lock, and return its Python."""
    shutil.rmtree(NEXT, ignore_errors=True)
    python = NEXT / "venv" / "bin" / "python"
    NEXT.mkdir(parents=True)
    own = NEXT / "stackhand.txt"
    own.write_text(requirement, encoding="utf-8")
    _uv("venv", "--python", sys.executable, str(NEXT / "venv"))
    _uv("pip", "install", "--no-deps", "--python", str(python), "--requirements", str(own))
    code = "from stackhand.system.roots import CONTENT; print(CONTENT)"
    packages = Path(_run([str(python), "-P", "-c", code], NEXT)) / "requirements.lock"
    _uv("pip", "install", "--require-hashes", "--python", str(python), "--requirements", str(packages))
    return python


def _uv(*args: str) -> None:
    _run([str(pin.UV), *args, "--quiet"], PROJECT)


def _run(args: Sequence[str], folder: Path) -> str:
    """Run a program that installs, and return what it prints."""
    environment = inherited.environment("ansible")
    done = program.run(args, environment=environment, folder=folder, timeout=INSTALLED_WITHIN)
    if done.returncode != 0:
        raise Failure(
            "The new version cannot be installed; nothing was changed.",
            evidence=done.stderr.strip().splitlines()[-6:],
            next="fix that, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    return done.stdout.strip()


def _renew(python: Path, *, dry_run: bool) -> int:
    """Let the new version do the rest, and return its exit code."""
    own = str(NEXT / "stackhand.txt")
    args = [str(python), "-P", "-m", "stackhand.adoption.renewal", VERSION, str(CONTENT), own]
    environment = inherited.environment("ansible") | {VARIABLE: str(PROJECT)}
    return program.show([*args, *(["--dry-run"] if dry_run else [])], environment=environment, folder=PROJECT)
