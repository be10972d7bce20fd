"""Serve, and restart when a source file changes: the command of the development image.

The production image has neither this module nor the package it needs.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import watchfiles

SOURCE = Path(__file__).resolve().parent
POLLING_INTERVAL = 200
"""Milliseconds between checks of the child."""
BLAME_EDIT_FOR = 5.0
"""Seconds after an edit in which the end of the child is attributed to it."""
STOP_TIMEOUT = 10.0


class _Sources(watchfiles.DefaultFilter):
    """Source files of the service, without the temporary files of editors and Python."""

    def __call__(self, change: watchfiles.Change, path: str) -> bool:
        return path.endswith((".py", ".sql")) and super().__call__(change, path)


def develop() -> int:
    """Run `python -m service serve` until SIGTERM; restart it after each change of a source file.

    If the child ends, this process ends with its exit code, so that its supervisor restarts it. If the child ends right
    after an edit, this process waits for the next edit instead: the output of the child explains the error.

    Returns:
        The exit code: 0 after SIGTERM.
    """
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    child: subprocess.Popen[bytes] | None = _start()
    began, edited = time.monotonic(), False
    for changes in watchfiles.watch(
        SOURCE, watch_filter=_Sources(), stop_event=leaving, rust_timeout=POLLING_INTERVAL, yield_on_timeout=True
    ):
        if changes:
            names = ", ".join(sorted({str(Path(path).relative_to(SOURCE)) for _, path in changes}))
            _print(f"changed: {names}; restarting")
            _end(child)
            child, began, edited = _start(), time.monotonic(), True
        elif child is not None and child.poll() is not None:
            if not edited or time.monotonic() - began > BLAME_EDIT_FOR:
                return child.returncode if child.returncode >= 0 else 128 - child.returncode
            _print(f"the service ended with {child.returncode}; waiting for the next edit")
            child = None
    _end(child)
    return 0


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "service", "serve"])


def _end(child: subprocess.Popen[bytes] | None) -> None:
    if child is None or child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _print(text: str) -> None:
    print(f"develop: {text}", flush=True)  # noqa: T201 - the log belongs to the service
