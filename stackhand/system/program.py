"""Run another program to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn


def run(
    args: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    folder: str | Path | None = None,
    text: str | None = None,
    timeout: float | None = None,
    account: Mapping[str, Any] | None = None,
    merge: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a program without a shell, and return its exit code and output; bytes that are not UTF-8 are replaced.

    Args:
        args: the program and its arguments.
        environment: its variables; ours without any.
        folder: where it runs.
        text: what it reads on stdin; nothing without it.
        timeout: seconds it may take.
        account: `user`, `group` and `extra_groups` as `subprocess.Popen` takes them; ours without any.
        merge: put its stderr into its stdout, in the order of writing.

    Raises:
        OSError: it cannot be run.
        subprocess.TimeoutExpired: it took too long, and was killed.
    """
    source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
    return subprocess.run(
        args,
        **source,
        **(account or {}),
        env=environment,
        cwd=folder,
        timeout=timeout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )


def follow(
    args: Sequence[str | Path],
    line: Callable[[str], None],
    *,
    environment: Mapping[str, str] | None = None,
    folder: str | Path | None = None,
    account: Mapping[str, Any] | None = None,
) -> int:
    """Run a program, tell each line of its output and errors as it comes, and return its exit code.

    Whatever interrupts us ends the program. The arguments are those of `run`.

    Raises:
        OSError: it cannot be run.
    """
    with subprocess.Popen(
        args,
        **(account or {}),
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None  # noqa: S101 - asked for above
        try:
            for each in child.stdout:
                line(each.rstrip("\n"))
        except BaseException:
            child.terminate()
            raise
    return child.returncode


def show(args: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, folder: Path) -> int:
    """Run a program whose output is for the user as it is, and return its exit code."""
    return subprocess.run(args, env=environment, cwd=folder, check=False).returncode


def replace(args: Sequence[str], environment: Mapping[str, str] | None = None) -> NoReturn:
    """Become another program, with our environment unless it is given another one.

    Raises:
        OSError: it cannot be run.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execve(args[0], list(args), dict(os.environ if environment is None else environment))  # noqa: S606 - the very purpose


INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handling(handler: Callable[[int, FrameType | None], object], numbers: Iterable[int] = INTERRUPTS) -> Iterator[None]:
    """Have signals call a handler while a block runs; afterwards they do what they did before."""
    before = {each: signal.signal(each, handler) for each in numbers}
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, each)


@contextmanager
def interrupted_later() -> Iterator[None]:
    """Raise what interrupts a block only at its end: a program whose start is cut short would run on, unknown to us.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM has arrived meanwhile.
    """
    arrived: list[int] = []
    caught = [each for each in INTERRUPTS if signal.getsignal(each) not in {signal.SIG_IGN, signal.SIG_DFL}]
    with handling(lambda number, _frame: arrived.append(number), caught):
        yield
    if arrived:
        raise KeyboardInterrupt
