"""One run of Terraform: its words go into a log, and an interrupt reaches it once."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stackhand import ROOT
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import tail

FOLDER = ROOT / "terraform"
INSTALL = "install Terraform 1.11 or newer (developer.hashicorp.com/terraform), or name it: STACKHAND_TERRAFORM=PATH"


def not_run(words: Sequence[str], why: str) -> Failure:
    """Return the failure of a Terraform that is none."""
    said = [f"tried: {shlex.join(words)}", why]
    return Failure("Terraform cannot be run.", evidence=said, next=INSTALL, code=ExitCode.PREFLIGHT)


def read(words: Sequence[str], environment: Mapping[str, str], log_path: Path) -> str:
    """Return what a command says.

    Raises:
        Failure: it cannot be run, or failed.
    """
    try:
        with log_path.open("ab") as log:
            return subprocess.run(
                words,
                cwd=FOLDER,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                check=True,
                text=True,
                errors="replace",
            ).stdout
    except OSError as error:
        raise not_run(words, str(error)) from error
    except subprocess.CalledProcessError as error:
        raise Failure(
            f"{shlex.join(words[:2])} ended with {error.returncode}.",
            evidence=tail(log_path, 5),
            next=f"look into {log_path.relative_to(ROOT)}",
        ) from error


def follow(
    words: Sequence[str],
    environment: Mapping[str, str],
    log_path: Path,
    each: Callable[[str], object],
    folder: Path = FOLDER,
) -> int:
    """Run a command to its end, and return its exit code.

    Args:
        words: the command.
        environment: its environment.
        log_path: where its words are kept.
        each: called with each line of them; once it returns True, the command has done what it was for, and is ended.
        folder: where it runs.

    Raises:
        Failure: it cannot be run.
    """
    with log_path.open("a", encoding="utf-8") as log:
        try:
            child = subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise not_run(words, str(error)) from error
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        with child, _interrupts_to(child):
            for line in child.stdout:
                log.write(line)
                if each(line) is True:
                    os.killpg(child.pid, signal.SIGKILL)
                    return 0
            return child.wait()


@contextmanager
def _interrupts_to(child: subprocess.Popen[str]) -> Iterator[None]:
    """Let an interrupt reach Terraform, once: it finishes what it has begun, writes the state and frees the lock."""

    def pass_on(_number: int, _frame: object) -> None:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        for number in before:
            signal.signal(number, signal.SIG_IGN)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, pass_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
