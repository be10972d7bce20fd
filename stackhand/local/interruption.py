"""Ctrl-C in the middle of a verb: what runs, what does not, and how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local import engines
from stackhand.local.status import services
from stackhand.project.state import State
from stackhand.system.roots import PROJECT

NEXT = {
    "up": "./inv up to continue, ./inv down to stop",
    "down": "./inv down to continue, ./inv up to start again",
    "restart": "./inv up starts what is stopped, ./inv down stops the rest",
    "db.migrate": "./inv db.status shows which migrations are applied",
    "db.reset": "./inv db.migrate continues, ./inv db.restore NAME restores the previous data",
    "db.restore": "./inv db.restore NAME again, with this snapshot or the previous data's",
}
STOPS = {"up", "down", "restart"}
"""The verbs that stop services, so that some may be left stopped."""
LEFT = {
    "db.snapshot": "a snapshot is saved completely or not at all",
    "db.restore": "the database is unchanged or fully restored: it is replaced only when the new one is complete",
    "db.reset": "the database is unchanged, or empty and partly migrated",
    "db.seed": "each file in seeds/ is loaded completely or not at all",
    "db.migrate": "an unfinished migration in a transaction is rolled back; in a container it may continue to its end",
}


@contextmanager
def reported(verb: str, done: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
    """Turn an interruption of the block into the `failure` of a verb; `done` returns what it had done by then."""
    try:
        yield
    except KeyboardInterrupt:
        raise failure(verb, done()) from None


def failure(verb: str, done: Sequence[str] = ()) -> Failure:
    """Return what to say of an interrupted verb: what it had done by then, in sentences, and what is left running."""
    return Failure(
        f"Interrupted during {verb}.",
        evidence=[*([LEFT[verb]] if verb in LEFT else []), *done, *(_running() if verb in STOPS else [])],
        next=NEXT.get(verb, f"./inv {verb} to start again"),
        code=ExitCode.INTERRUPTED,
    )


def _running() -> list[str]:
    """Return which services run now and which do not, or why that is not known."""
    try:
        statuses = services(engines.remembered(State(PROJECT)))
    except Failure as error:
        return [f"the running services are unknown: {error.what}"]
    running, stopped = list[str](), list[str]()
    for each in statuses:
        (stopped if each.state in {"stopped", "failed"} else running).append(each.name)
    return [f"running now: {', '.join(running) or 'nothing'}", *([f"stopped: {', '.join(stopped)}"] if stopped else [])]
