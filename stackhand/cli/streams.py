"""Standard input, output and error of `./inv`: each may be closed, full, or without a reader."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from stackhand.cli.failure import ExitCode
from stackhand.system.roots import NAME


class OutputStream(io.TextIOWrapper):
    """A stream that remembers why it took no more."""

    error: OSError | None = None

    def write(self, text: str, /) -> int:
        """Write a text."""
        try:
            return super().write(text)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Write what is left."""
        try:
            super().flush()
        except OSError as error:
            self.error = error
            raise


def prepare() -> None:
    """Put something in place of each stream that the shell has closed, or the next file opened would take its number.

    Reading finds nothing, writing to stdout fails, and what is written to stderr is lost.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # the lowest free number, so this one
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as we run
    sys.stdout, sys.stderr = _remembering(sys.stdout, 1), _remembering(sys.stderr, 2)


def error_of(stream: IO[str]) -> OSError | None:
    """Return why a stream takes no more; None when it does."""
    with suppress(OSError):
        stream.flush()
    return stream.error if isinstance(stream, OutputStream) else None


@contextmanager
def finished() -> Iterator[None]:
    """Do for a verb what `./inv` does at its begin and end, where that is not what runs: plain Invoke.

    Raises:
        Exit: with the exit code.
    """
    from invoke.exceptions import Exit  # a playbook writes to these streams, too, and has no use for Invoke

    prepared = sys.stdout is not sys.__stdout__
    if prepared:
        yield
        return
    before = sys.stdout, sys.stderr
    prepare()
    end = Exit(code=int(ExitCode.DONE))
    try:
        yield
    except Exit as raised:
        end = raised
    except OSError:
        if not (error_of(sys.stdout) or error_of(sys.stderr)):
            raise
    finally:
        code = finish(end.code)
        sys.stdout, sys.stderr = before
    if code:
        raise Exit(end.message, code)


def finish(code: int) -> int:
    """Write what is left; return the exit code, which is 1 when stdout did not take everything.

    A reader that went away, as in `./inv logs | head`, has seen what it wanted.
    """
    lost = error_of(sys.stdout)
    if lost and not isinstance(lost, BrokenPipeError):
        code = int(ExitCode.FAILED)
        report(f"{NAME}: stdout cannot be written: {lost.strerror}.")
    for stream in (sys.stdout, sys.stderr):
        if error_of(stream):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python would flush once more, and complain
    return code


def report(text: str) -> None:
    """Write a sentence on stderr; where that takes nothing, the exit code has to do."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _remembering(stream: IO[str] | None, number: int) -> OutputStream:
    """Return a stream over the same file, with the same encoding; the one there was stays usable."""
    made = stream or open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as we run
    assert isinstance(made, io.TextIOWrapper)  # noqa: S101 - this process's own
    encoding, errors = made.encoding, made.errors
    line_buffering, through = made.line_buffering, made.write_through
    made.flush()
    file = open(number, "wb", 0 if through else -1, closefd=False)  # noqa: SIM115 - likewise
    return OutputStream(file, encoding, errors, line_buffering=line_buffering, write_through=through)
