"""Who changes an environment, in which CI run, and when: as the documents in its bucket say it."""

from __future__ import annotations

import os
from datetime import UTC, datetime


def timestamp() -> str:
    """Return the present time as releases write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def owner() -> str:
    """Return who we are, for other people."""
    import socket

    actor = os.environ.get("GITHUB_ACTOR")
    return f"{actor} (GitHub Actions)" if actor else f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's account may have no name; which error it is depends on Python
        return f"uid {os.getuid()}"


def run_url() -> str:
    """Return the address of the CI run we are; nothing elsewhere."""
    parts = [os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""
