"""The two ways to run a stack on this machine, behind one surface, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines.engine import Engine
from stackhand.project.stack.model import Stack
from stackhand.project.state import State

NAMES = ("compose", "embedded")


@dataclass(frozen=True)
class Choice:
    """The engine that was chosen, by its name, and why, in words that follow that."""

    name: str
    reason: str


def check_name(requested: str) -> None:
    """Refuse what is no engine.

    Raises:
        Failure: naming the engines there are.
    """
    if requested not in {"auto", *NAMES}:
        raise Failure(
            f"There is no engine {requested!r}.", evidence=[f"known: auto, {', '.join(NAMES)}"], code=ExitCode.USAGE
        )


def choose(requested: str, state: State) -> Choice:
    """Return the engine for this checkout.

    Args:
        requested: the name of an engine, which is then taken or refused; or auto, which takes the engine of before, or
            Compose when a container engine answers, or embedded.
        state: remembers what was chosen before.

    Raises:
        Failure: there is no such engine, or it cannot be used here.
    """
    check_name(requested)
    from stackhand.containers import docker

    if requested == "auto" and (known := state.read().engine):
        return Choice(known, "the current engine of this checkout")
    if requested == "embedded":
        return Choice(requested, "as requested")
    try:
        reached = docker.reach()
    except Failure as failure:
        if requested == "compose":
            raise
        return Choice("embedded", f"real servers from packages. {failure.what}")
    message = f"Docker {reached.version} with Compose {reached.compose}"
    return Choice("compose", f"as requested, {message}" if requested == "compose" else message)


def create(name: str, state: State, stack: Stack | None = None) -> Engine:
    """Return the engine of that name; without a stack it can only tell and stop what was started last."""
    if name == "compose":
        from stackhand.local.engines.compose.engine import Compose

        return Compose(state, stack)
    from stackhand.local.engines.embedded.engine import EmbeddedEngine

    return EmbeddedEngine(state, stack)


def remembered(state: State, stack: Stack | None = None) -> Engine:
    """Return the engine that this checkout used last."""
    return create(state.read().engine or "embedded", state, stack)


def other(name: str, state: State, stack: Stack | None = None) -> Engine:
    """Return the engine that is not of that name."""
    return create(next(each for each in NAMES if each != name), state, stack)


def used(state: State) -> list[Engine]:
    """Return the engines of which something may be left here: the one that was used last, then the other."""
    last = remembered(state)
    before = other(last.name, state)
    return [last, *([before] if before.used() else [])]
