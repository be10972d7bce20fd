"""Serve, and begin anew when a source file changes: what the development image runs.

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
LOOK = 200
"""Milliseconds between two looks at the child."""
SETTLED = 5.0
"""Seconds after which a child that ends has not ended because of the edit before it."""
ENDS_WITHIN = 10.0


class _Sources(watchfiles.DefaultFilter):
    """What the service is made of; not what editors and Python leave beside it."""

    def __call__(self, change: watchfiles.Change, path: str) -> bool:
        return path.endswith((".py", ".sql")) and super().__call__(change, path)


def develop() -> int:
    """Run `python -m service serve` until SIGTERM, again after each change of a source file.

    A child that ends by itself ends this process with its exit code, so that whoever started it notices and starts
    it again. One that ends just after an edit does not: what it wrote says why, and the next edit is its mending.

    Returns:
        The exit code: 0 after SIGTERM.
    """
    leaving = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    child: subprocess.Popen[bytes] | None = _start()
    began, edited = time.monotonic(), False
    for changes in watchfiles.watch(
        SOURCE, watch_filter=_Sources(), stop_event=leaving, rust_timeout=LOOK, yield_on_timeout=True
    ):
        if changes:
            names = ", ".join(sorted({str(Path(path).relative_to(SOURCE)) for _, path in changes}))
            _tell(f"changed: {names}; starting anew")
            _end(child)
            child, began, edited = _start(), time.monotonic(), True
        elif child is not None and child.poll() is not None:
            if not edited or time.monotonic() - began > SETTLED:
                return child.returncode if child.returncode >= 0 else 128 - child.returncode
            _tell(f"the service ended with {child.returncode}; waiting for the next edit")
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
        child.wait(ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _tell(text: str) -> None:
    print(f"develop: {text}", flush=True)  # noqa: T201 - there is no log without a service
