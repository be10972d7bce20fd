"""Ctrl-C in the middle of a verb: what runs, what does not, and how to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from stackhand import ROOT, engines
from stackhand.engines.status import ServiceStatus
from stackhand.failure import ExitCode, Failure
from stackhand.state import State

NEXT = {
    "up": "./inv up to go on, ./inv down to stop",
    "down": "./inv down to go on, ./inv up to start again",
    "restart": "./inv up starts what is stopped, ./inv down stops the rest",
}


@contextmanager
def reported(verb: str) -> Iterator[None]:
    """Turn an interruption of the block into a failure that says what is left of the stack."""
    try:
        yield
    except KeyboardInterrupt:
        raise failure(verb) from None


def failure(verb: str, done: Sequence[str] = ()) -> Failure:
    """Return what to say of an interrupted verb.

    Args:
        verb: its name.
        done: sentences on what it had done by then.
    """
    return Failure(
        f"Interrupted during {verb}.",
        evidence=[*done, *(_left() if verb in NEXT else [])],
        next=NEXT.get(verb, f"./inv {verb} to begin again"),
        code=ExitCode.INTERRUPTED,
    )


def _left() -> list[str]:
    """Return which services run now and which do not, or why that is not known."""
    from stackhand.status import services

    try:
        found = services(engines.remembered(State(ROOT)))
    except Failure as error:
        return [f"what runs now is not known: {error.what}"]
    running = [each.name for each in found if not _ended(each)]
    stopped = [each.name for each in found if _ended(each)]
    return [f"running now: {', '.join(running) or 'nothing'}", *([f"stopped: {', '.join(stopped)}"] if stopped else [])]


def _ended(status: ServiceStatus) -> bool:
    return status.state in {"stopped", "failed"}
