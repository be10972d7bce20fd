"""One hook as a process: shown line by line, ended in bounded time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from stackhand.cli import console
from stackhand.system import program
from stackhand.system.roots import PROJECT

TIMEOUT = "STACKHAND_HOOK_TIMEOUT"
WITHIN = 600.0
"""The seconds that a hook may take, unless TIMEOUT says otherwise."""
ENDS_WITHIN = 10.0
READ_WITHIN = 1.0
"""The seconds that its output may take to arrive once it has ended: what it left in the background may keep it open."""
POLL = 0.1
EVIDENCE = 10


class Ended(msgspec.Struct, frozen=True):
    """How a hook ended: what was wrong, in words that follow its name (nothing when it succeeded), and its output."""

    problem: str
    lines: list[str]


def run(path: Path, environment: Mapping[str, str]) -> Ended:
    """Run a hook to its end, in a session of its own and without input, and show its output on stderr.

    Raises:
        KeyboardInterrupt: the user interrupted; the hook is ended.
    """
    within = _within()
    if not within > 0:  # nor NaN, which is never over
        return Ended(f"was not run: {TIMEOUT} must be a number of seconds above 0", [])
    output: _Output | None = None
    problem = ""
    try:
        with program.interrupted_later():
            output = _Output(path, environment)
        code = output.follow(time.monotonic() + within)
        problem = f"failed with exit code {code}" if code > 0 else f"was ended by {_signal(-code)}" if code else ""
    except OSError as error:  # such as a script without #!
        return Ended(f"cannot be run: {error.strerror}", ["a script begins with a line such as #!/bin/sh"])
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        if output:
            _end(output.child)
        if isinstance(error, KeyboardInterrupt):
            raise
        problem = f"did not end within {within:g} s ({TIMEOUT})"
    finally:
        if output:
            output.pipe.close()
    return Ended(problem, list(output.lines) if output else [])


def _within() -> float:
    try:
        return float(os.environ.get(TIMEOUT, WITHIN))
    except ValueError:
        return 0.0


class _Output:
    """A hook that runs, and what it writes: shown a line at a time, with known secrets redacted."""

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.name = path.name
        self.child = subprocess.Popen(
            [path],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.child.stdout is not None  # noqa: S101 - a pipe was asked for
        self.pipe = self.child.stdout
        self.lines: deque[str] = deque(maxlen=EVIDENCE)
        self._begun = b""

    def follow(self, deadline: float) -> int:
        """Show all of it until the hook ends, and return its exit code; what it left in the background is not awaited.

        Raises:
            subprocess.TimeoutExpired: it did not end by then.
        """
        last = float("inf")
        while time.monotonic() < min(deadline, last):
            ready = select.select([self.pipe], [], [], POLL)[0]
            if ready and not self._read():
                break
            if self.child.poll() is not None:
                if not ready:
                    break
                last = min(last, time.monotonic() + READ_WITHIN)
        code = self.child.wait(max(0.0, deadline - time.monotonic()))
        self._show(self._begun)
        return code

    def _read(self) -> bytes:
        chunk = os.read(self.pipe.fileno(), 65536)
        *whole, self._begun = (self._begun + chunk).split(b"\n")
        for line in whole:
            self._show(line, empty=True)
        return chunk

    def _show(self, line: bytes, *, empty: bool = False) -> None:
        if line or empty:
            text = line.decode(errors="replace").rstrip("\r")
            self.lines.append(text)
            console.notify(f"{console.glyph('note'):>3} {self.name}: {text}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a hook and whatever it has started, in bounded time."""
    for number in (signal.SIGTERM, signal.SIGKILL):  # what outlived the first one gets the second
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(ENDS_WITHIN)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
