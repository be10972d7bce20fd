"""What a rehearsal shows of the verbs it runs: what they changed; all the rest is in a log for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from stackhand import ROOT
from stackhand.cli.console import ASCII, GLYPHS, Reporter

TAIL = 15
DONE, FAILED = ({GLYPHS[name], ASCII[name]} for name in ("done", "failed"))
ALSO = ("probed",)
"""Steps that change nothing and are shown: what a release is asked is what one rehearses for."""


class RehearsalOutput:
    """The console and the logs of one rehearsal.

    Args:
        folder: where the logs are.
        verbose: show all output of the verbs.
    """

    def __init__(self, folder: Path, *, verbose: bool = False) -> None:
        self.folder, self.verbose = folder, verbose
        self.reporter = Reporter(sys.stdout)

    def log(self, name: str) -> Path:
        """Return the log of a step."""
        return self.folder / f"{name.replace(' ', '-')}.log"

    def shown(self, name: str) -> str:
        """Return the log of a step, as one finds it from the checkout."""
        path = self.log(name)
        return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)

    def clear(self) -> None:
        """Forget the logs of the last rehearsal."""
        for path in self.folder.glob("*.log"):
            path.unlink()

    @contextmanager
    def step(self, name: str, command: Sequence[str]) -> Iterator[OutputLines]:
        """Show a verb while it runs."""
        self.reporter.line(f"{name}: ./inv {' '.join(command)}")
        self.reporter.task(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("w", encoding="utf-8") as file:
            try:
                yield OutputLines(self, file)
            finally:
                self.reporter.stop()

    def evidence(self, name: str, lines: Sequence[str]) -> list[str]:
        """Return what shows why a verb failed: the paragraph it ended with; not again what is on the screen already."""
        if self.verbose:
            return [f"its output is above, and in {self.shown(name)}"]
        return [*paragraph(lines), f"full output: {self.shown(name)}"]

    def expected(self, lines: Sequence[str]) -> None:
        """Show in one line a failure that had to come."""
        if not self.verbose and (failure := paragraph(lines)):
            self.reporter.line(f"  {failure[0]}")


class OutputLines:
    """Takes the lines of a verb: all go into its log, and some to the screen."""

    def __init__(self, output: RehearsalOutput, log: TextIO) -> None:
        self.output, self.log = output, log

    def __call__(self, line: str) -> None:
        """Take one."""
        print(line, file=self.log, flush=True)
        if self.output.verbose or is_shown(line):
            self.output.reporter.line(f"  {line}")
        elif self.output.reporter.live is not None and line.strip():
            self.output.reporter.progress(line.strip())


def is_shown(line: str) -> bool:
    """Whether a line of a verb tells of a step that changed something, or is shown all the same."""
    parts = line.split(maxsplit=2)
    return len(parts) > 1 and (parts[0] in DONE or parts[1] in ALSO)


def paragraph(lines: Sequence[str]) -> list[str]:
    """Return the failure that a verb ended with, as it was printed; the end of its output when it printed none."""
    begins = [number for number, line in enumerate(lines) if line.split(maxsplit=1)[:1] and line.split()[0] in FAILED]
    if not begins:
        return list(lines[-TAIL:])
    return [line.removeprefix("    ") for line in lines[begins[-1] :] if line.strip()]
