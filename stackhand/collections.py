"""Ansible's collections, which the compose engine and the cloud need: 260 MB that the embedded engine does without."""

from __future__ import annotations

import importlib.util
import subprocess

from stackhand import ROOT, console
from stackhand.failure import ExitCode, Failure

LOCK = "requirements-collections.lock"


def ensure() -> None:
    """Have the collections of the lock: `./inv` installs them, on first use and when the lock has changed.

    To be called before Ansible starts: it looks for collections once.

    Raises:
        Failure: they cannot be installed; what `./inv` said is the evidence.
    """
    console.tell("installing Ansible's collections (only when their lock has changed) ...")
    words = ["sh", str(ROOT / "inv"), "--install-collections"]
    said = subprocess.run(words, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise Failure(
            "Ansible's collections could not be installed.",
            evidence=said.stderr.replace("inv: ", "").splitlines(),
            next="./inv up --engine embedded does without them",
            code=ExitCode.PREFLIGHT,
        )


def require() -> None:
    """Refuse to go on without the collections.

    Raises:
        Failure: they are not there, or not those of the lock.
    """
    if not current():
        raise Failure(
            "Ansible's collections are not installed, and the compose engine needs them.",
            next="./inv up installs them; or by hand: ./inv --install-collections",
            code=ExitCode.PREFLIGHT,
        )


def current() -> bool:
    """Whether the collections are there, in the versions of the lock."""
    stamp = ROOT / ".venv" / ".stackhand" / LOCK
    if stamp.exists() and stamp.read_bytes() == (ROOT / LOCK).read_bytes():
        return True
    try:  # in an environment of the user's own they may be among the packages
        return importlib.util.find_spec("ansible_collections.community.docker") is not None
    except ModuleNotFoundError:
        return False
