"""Shows the steps of a playbook as they happen: to people, or to programs as lines of JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import msgspec

from stackhand.cli.console import as_json, for_people, glyph, has_unicode, readable, rich_console
from stackhand.cli.failure import Failure

if TYPE_CHECKING:
    from rich.progress import Progress


NAME_WIDTH = 10
COUNTS_EVERY = 15.0
"""Seconds between two lines on how much is done, where lines stay."""


class StepReport(msgspec.Struct, omit_defaults=True):
    """One thing that is done: a line for people, an event for programs.

    Args:
        name: of the step, or of the service that was started.
        message: what came of it.
        seconds: it took; None until that is known.
        notes: sentences on what is worth knowing.
        after: the services that this one waited for.
    """

    name: str
    message: str
    seconds: float | None = None
    notes: Sequence[str] = ()
    after: Sequence[str] = ()


class Reporter:
    """Shows the steps of a playbook as they happen; a terminal gets colours and a live last line."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.rich = rich_console(stream) if stream.isatty() else None
        self.live: Progress | None = None
        self._reported = ""
        self._counted = 0.0

    def task(self, name: str) -> None:
        """Say what is being done right now; only a terminal shows it."""
        if self.rich is None or self.rich.is_dumb_terminal or os.environ.get("NO_COLOR"):
            return
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.stop()
        spinner = SpinnerColumn("dots" if has_unicode() else "line")
        columns = (TextColumn(" "), spinner, TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self.live = Progress(*columns, console=self.rich, transient=True)
        self.live.add_task(for_people(name), total=None)
        self.live.start()

    def progress(self, text: str) -> None:
        """Show how far the present step is: in the live view, or as a line of its own."""
        if self.live is not None:
            self.live.update(self.live.task_ids[0], description=for_people(text))
        elif text != self._reported:
            self.line(f"{glyph('note'):>3} {text}")
        self._reported = text

    def count(self, text: str) -> None:
        """Show how much of the present step is done: in the live view at once, as lines only now and then."""
        if self.live is not None:
            self.progress(text)
        elif time.monotonic() >= self._counted + COUNTS_EVERY:
            self._counted = time.monotonic()
            self.progress(text)

    def note(self, text: str) -> None:
        """Show something about the present step that is to stay."""
        self.line(f"{glyph('note'):>3} {text}")

    def step(self, step: StepReport, *, changed: bool) -> None:
        """Show one thing that is done, with its time and what there is to know about it."""
        mark, style = ("done", "green") if changed else ("same", "dim")
        line = f"{glyph(mark):>3} {step.name:<{NAME_WIDTH}} {step.seconds or 0.0:5.1f} s  {step.message}"
        self.line(line, style if changed else "")
        for note in step.notes:
            self.line(f"{glyph('note'):>3} {note}", "yellow")

    def line(self, text: str, style: str = "") -> None:
        """Write a line; a stream that takes nothing stops no work, and is told of at the end (`streams.finish`)."""
        text = for_people(text)
        with suppress(OSError):
            if self.rich is not None:
                self.rich.print(text, style=style or None, soft_wrap=False)
            else:
                print(text, file=self.stream, flush=True)

    def failure(self, failure: Failure) -> None:
        """Write the paragraph that says what failed, why, and what to do next."""
        from stackhand import redaction

        self.stop()
        failure = redaction.current().failure(failure)
        self.line(f"{glyph('failed'):>3} {failure.what}", "bold red")
        for line in failure.evidence:
            self.line(f"    {readable(line)}")
        if failure.next:
            self.line(f"    next: {failure.next}", "bold")

    def stop(self) -> None:
        """End the live view."""
        if self.live is not None:
            self.live.stop()
            self.live = None


class Lines(Reporter):
    """Writes for programs, on stdout, what a reporter would show: a JSON document on a line for each thing."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def task(self, name: str) -> None:
        """Say what is being done right now."""
        self.event("task", name=name)

    def progress(self, text: str) -> None:
        """Say how far the present step is."""
        if text != self._reported:
            self.event("progress", text=text)
        self._reported = text

    def note(self, text: str) -> None:
        """Tell something about the present step."""
        self.event("note", text=text)

    def step(self, step: StepReport, *, changed: bool) -> None:
        """Report one thing that is done."""
        self.event("step", changed=changed, words=step.message, **msgspec.to_builtins(step))

    def failure(self, failure: Failure) -> None:
        """Tell what failed, as the last line."""
        self.write({"error": msgspec.to_builtins(failure.document())})

    def stop(self) -> None:
        """Nothing moves here."""

    def event(self, event: str, /, **facts: Any) -> None:
        """Write one event, with its time."""
        self.write({"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts})

    def write(self, document: Mapping[str, Any]) -> None:
        """Write one line."""
        from stackhand import redaction

        print(as_json(redaction.current().data(document)), file=self.stream, flush=True)
