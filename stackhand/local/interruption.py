"""Ctrl-C in the middle of a verb: what runs, what does not, and how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from stackhand import ROOT
from stackhand.cli.failure import ExitCode, Failure
from stackhand.local import engines
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.state import State

NEXT = {
    "up": "./inv up to go on, ./inv down to stop",
    "down": "./inv down to go on, ./inv up to start again",
    "restart": "./inv up starts what is stopped, ./inv down stops the rest",
    "db.migrate": "./inv db.status says which migrations are applied",
    "db.reset": "./inv db.migrate goes on, ./inv db.restore NAME brings back what was there",
    "db.restore": "./inv db.restore NAME again, or that of what was there",
}
STOPS = {"up", "down", "restart"}
"""The verbs that stop services, so that some may be left stopped."""
LEFT = {
    "db.snapshot": "a snapshot is kept whole or not at all",
    "db.restore": "the database is as it was, or as the snapshot has it: it is replaced when the new one is whole",
    "db.reset": "the database is as it was, or new and not migrated to the end",
    "db.seed": "each file of seeds/ is loaded whole or not at all",
    "db.migrate": "a migration that runs in a transaction is undone when it was not at its end; "
    "in a container it may go on to that",
}


@contextmanager
def reported(verb: str, done: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
    """Turn an interruption of the block into a failure that says what is left of the stack.

    Args:
        verb: its name.
        done: returns sentences on what it had done by then.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise failure(verb, done()) from None


def failure(verb: str, done: Sequence[str] = ()) -> Failure:
    """Return what to say of an interrupted verb.

    Args:
        verb: its name.
        done: sentences on what it had done by then.
    """
    return Failure(
        f"Interrupted during {verb}.",
        evidence=[*([LEFT[verb]] if verb in LEFT else []), *done, *(_running() if verb in STOPS else [])],
        next=NEXT.get(verb, f"./inv {verb} to begin again"),
        code=ExitCode.INTERRUPTED,
    )


def _running() -> list[str]:
    """Return which services run now and which do not, or why that is not known."""
    from stackhand.local.status import services

    try:
        found = services(engines.remembered(State(ROOT)))
    except Failure as error:
        return [f"what runs now is not known: {error.what}"]
    running = [each.name for each in found if not _ended(each)]
    stopped = [each.name for each in found if _ended(each)]
    return [f"running now: {', '.join(running) or 'nothing'}", *([f"stopped: {', '.join(stopped)}"] if stopped else [])]


def _ended(status: ServiceStatus) -> bool:
    return status.state in {"stopped", "failed"}
