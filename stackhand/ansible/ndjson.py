"""A playbook for programs: each thing that happens is one JSON document on one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from stackhand import redaction
from stackhand.cli.console import as_json
from stackhand.cli.failure import Failure
from stackhand.cli.reporter import Reporter, StepReport


class Lines(Reporter):
    """Writes what a reporter would show as lines of JSON on stdout."""

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
        shown = redaction.current().data(document)
        print(as_json(shown), file=self.stream, flush=True)
