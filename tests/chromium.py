"""The browser of the tests: Debian's Chromium."""

from __future__ import annotations

import os
import shutil
from typing import Any

ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def path() -> str | None:
    """Return where it is; None: nowhere."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


def launch_options() -> dict[str, Any]:
    """Return what Playwright needs to launch it; as root it has no sandbox."""
    return {"executable_path": path(), "chromium_sandbox": os.getuid() != 0, "args": ARGUMENTS}
