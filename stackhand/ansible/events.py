"""The events of a playbook: what its callback and its steps report, one JSON object a line, to whoever watches it."""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from stackhand.cli.failure import FailureDocument
from stackhand.cli.reporter import StepReport

EVENTS = "STACKHAND_EVENTS"
"""Names the descriptor that they are written to."""


class TaskBegan(msgspec.Struct, frozen=True, tag_field="event", tag="task"):
    """What is being done right now, by the name of its task."""

    name: str


class StepDone(msgspec.Struct, frozen=True, tag_field="event", tag="step"):
    """A step is done."""

    step: StepReport
    changed: bool


class Progress(msgspec.Struct, frozen=True, tag_field="event", tag="progress", omit_defaults=True):
    """How far a step is.

    Args:
        text: the same, as a sentence.
        lasting: whether it stays on the screen.
        counts: whether it comes again and again, and is shown now and then.
    """

    text: str
    lasting: bool = False
    counts: bool = False


class Reported(msgspec.Struct, frozen=True, tag_field="event", tag="report"):
    """The document that a playbook ends with, still encoded: the verb knows its type."""

    report: msgspec.Raw


class StepFailed(msgspec.Struct, frozen=True, tag_field="event", tag="failure"):
    """What a step failed with."""

    failure: FailureDocument


Event = TaskBegan | StepDone | Progress | Reported | StepFailed


def emit(event: Event) -> None:
    """Report that something happened, at once; a step need not wait until Ansible has its result."""
    if descriptor := os.environ.get(EVENTS):
        with suppress(BrokenPipeError):  # who listened was killed; the work is finished none the less
            os.write(int(descriptor), msgspec.json.encode(event) + b"\n")


def decode(line: str) -> Event:
    """Return the event of a line."""
    event: Event = msgspec.json.decode(line, type=Event)
    return event
