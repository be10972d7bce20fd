"""The data on the engine that this checkout does not run on: what it is, and removing it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from stackhand.cli.failure import Failure
from stackhand.local import engines
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import StoredData
from stackhand.project.state import State


def notes(engine: Engine, *, copying: bool) -> list[str]:
    """Return what to say of the other engine's data when this one starts; `copying` copies its database anyway."""
    state = engine.state
    before = state.read().engine or engine.name
    other = engines.other(engine.name, state)
    if before == engine.name or not other.used():
        return []
    try:
        volumes, elsewhere = other.data(), other.elsewhere()
    except Failure as failure:
        return [f"{other.name} may have data of this checkout, which could not be checked: {failure.what}"]
    if not volumes:
        return [elsewhere] if elsewhere else []
    kept = f"{other.name} has data of this checkout that {engine.name} does not use: {', '.join(map(str, volumes))}"
    if copying:
        return [kept]
    own = ", ".join(map(str, engine.data()))
    instead = f"{engine.name} continues with its data: {own}" if own else f"{engine.name} starts with new data"
    return [kept, f"{instead}; ./inv up --engine {engine.name} --copy-data copies the database"]


@dataclass(frozen=True)
class Left:
    """What there is to stop and to remove on both engines, with sentences on what could not be looked at."""

    running: bool
    data: list[StoredData]
    unknown: list[str]


class DownReport(msgspec.Struct, frozen=True):
    """What the playbook of `down` has stopped, and data of which nobody knows whether it is removed."""

    stopped: list[str]
    volumes_removed: bool
    unknown: list[str]


def left(state: State, *, volumes: bool) -> Left:
    """Return what is left of this checkout on both engines; `volumes` takes a while where there is much data.

    Raises:
        Failure: the engine that was used last does not answer.
    """
    running, data = False, list[StoredData]()
    unknown: list[str] = []
    for number, engine in enumerate(engines.used(state)):
        try:
            unknown += filter(None, [engine.elsewhere()])
            if engine.is_unattended():
                continue
            running |= engine.runs()
            data += engine.data() if volumes else []
        except Failure as failure:
            if number == 0:
                raise
            unknown.append(f"the data on {engine.name} could not be checked: {failure.what}")
    return Left(running, data, unknown)


def stop(state: State, *, volumes: bool) -> tuple[list[str], list[str], list[str]]:
    """Stop everything of this checkout on both engines, and remove the data as well if `volumes`.

    Returns:
        The services that ran, a sentence on what could not be looked at, and one on what the engines did not do.

    Raises:
        Failure: the engine that was used last does not answer, or does not stop.
    """
    stopped, unknown, notes = list[str](), list[str](), list[str]()
    for number, engine in enumerate(engines.used(state)):
        try:
            unknown += filter(None, [engine.elsewhere()])
            if not engine.is_unattended():
                stopped += engine.down(volumes=volumes)
                notes += engine.notes
            give_up(engine)
        except Failure as failure:
            if number == 0:
                raise
            unknown.append(f"the data on {engine.name} was not removed: {failure.what}")
    if volumes and not unknown:
        state.forget()
    return stopped, unknown, notes


def give_up(engine: Engine) -> None:
    """Let go of a container engine that is gone, with what it kept, so that it keeps nobody from another engine."""
    if engine.elsewhere():
        engine.give_up_elsewhere()
