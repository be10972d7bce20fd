"""Another account than root, to be the owner of a checkout: `nobody`, which every machine has."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.checkout import Checkout, Said, clean_environment

NAME = "nobody"


def require_root() -> None:
    """Skip a test where nobody else can be."""
    if os.getuid() != 0:
        pytest.skip("only root can be another account")


def give(checkout: Checkout) -> None:
    """Make the account the owner of a checkout and of all that is in it."""
    require_root()
    found = pwd.getpwnam(NAME)
    subprocess.run(["chown", "-Rh", f"{found.pw_uid}:{found.pw_gid}", str(checkout.path)], check=True)


def inv(checkout: Checkout, *words: str, **env: str) -> Said:
    """Run ./inv as the account, which is shown a way to root's own Python, in a namespace of mounts."""
    found = pwd.getpwnam(NAME)
    become = ["setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups", "./inv", *words]
    way = f"{_open_way()}exec {shlex.join(become)}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", way],
        cwd=checkout.path,
        env=clean_environment(HOME="/nonexistent", TMPDIR="/tmp", **env),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def _open_way() -> str:
    """Return the commands that let everybody pass to a Python in a folder that is closed to others."""
    python = Path(sys.executable).resolve()
    closed = next((each for each in reversed(python.parents) if not each.stat().st_mode & 0o001), None)
    if closed is None:
        return ""
    inner = closed / python.relative_to(closed).parts[0]
    return (
        f"kept=$(mktemp -d -p {tempfile.gettempdir()}); mount --bind {inner} $kept; "
        f"mount -t tmpfs -o mode=755 tmpfs {closed}; mkdir {inner}; mount --bind $kept {inner}; "
    )
