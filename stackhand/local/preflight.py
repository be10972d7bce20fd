"""Before the start: every port the stack wants is free, or ours already."""

from __future__ import annotations

import shlex

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import api
from stackhand.containers.unavailable import Unavailable
from stackhand.local import engines
from stackhand.local.engines.compose import kept
from stackhand.local.engines.engine import Engine
from stackhand.project import ports as machine_ports
from stackhand.project import settings
from stackhand.project.model import Port
from stackhand.project.state import State


def ports(engine: Engine, *, free: bool, check: bool) -> dict[str, int]:
    """Make sure that the ports can be had.

    Args:
        engine: knows the ports its services want, and those at which they listen already.
        free: move all of them to a free block when one is taken.
        check: change nothing.

    Returns:
        The new ports by setting, when they were moved.

    Raises:
        Failure: a port is taken; who holds it and the two ways out are named.
    """
    stack = engine.stack
    wanted = {port: service.name for service in stack.services.values() for port in service.ports}
    ours = engine.own_ports()
    here = set(engine.services())
    taken = {
        port: name for port, name in wanted.items() if name in here and port.published not in ours and not _free(port)
    }
    if not taken:
        return {}
    if not free:
        raise _taken(engine, taken)
    fixed = [port for port in taken if port.variable is None]
    if fixed:
        raise Failure(
            f"Port {fixed[0].published} of {taken[fixed[0]]} is taken, and docker-compose.yml has a fixed value.",
            next=f"write it as ${{{taken[fixed[0]].upper()}_PORT:-{fixed[0].published}}}",
            code=ExitCode.PORT_TAKEN,
        )
    movable = {port.variable: port.published for port in wanted if port.variable}
    moved = machine_ports.free_block(movable, {port.published for port in wanted if port.variable is None})
    if not check:
        settings.move_ports(stack.root, moved)
        engine.state.remember(ports=moved)
    return moved


def _free(port: Port) -> bool:
    return machine_ports.is_free(port.published)


def _taken(engine: Engine, taken: dict[Port, str]) -> Failure:
    lines = [
        f"{port.published} ({name}{', ' + port.variable if port.variable else ''}): {engine.holder(port.published)}"
        for port, name in taken.items()
    ]
    numbers = ", ".join(str(port.published) for port in taken)
    return Failure(
        f"{'Ports' if len(taken) > 1 else 'Port'} {numbers} {'are' if len(taken) > 1 else 'is'} taken.",
        evidence=lines,
        next="./inv up --free-ports (moves this checkout to a free block), or stop that process",
        code=ExitCode.PORT_TAKEN,
    )


def no_other_name(engine: Engine) -> None:
    """Refuse to start a second stack of this checkout beside the containers of the name it had before.

    Raises:
        Failure: they are still there.
    """
    before, now = str(engine.state.read().get("name", "")), engine.stack.name
    if engine.name != "compose" or before in {"", now}:
        return
    if engines.remembered(engine.state).runs():
        raise Failure(
            f"The containers of this checkout belong to {before}, but .env names it {now}.",
            evidence=[f"the volumes keep their names too: {now} starts with new ones"],
            next=f"./inv down, which stops {before}, then ./inv up",
            code=ExitCode.PREFLIGHT,
        )


def no_other_engine(chosen: str, state: State) -> None:
    """Refuse to start a second stack of this checkout beside the one that runs on the other engine.

    Raises:
        Failure: it does.
    """
    known = str(state.read().get("engine", chosen))
    if known == chosen:
        return
    try:
        running = engines.remembered(state).still_running()
    except Unavailable as error:
        raise Failure(
            f"It is unknown whether this checkout still runs on {known}, whose data {chosen} does not use.",
            evidence=[error.what, *error.evidence],
            next=_reach_or_give_up(error, kept.awaited(state)),
            code=ExitCode.PREFLIGHT,
        ) from error
    if running:
        where = kept.awaited(state) if known == "compose" else ""
        asked = f"DOCKER_HOST={shlex.quote(where)} " if where not in {"", api.address()} else ""
        raise Failure(
            f"This checkout runs on {known}, whose data {chosen} does not use.",
            next=f"{asked}./inv down, then ./inv up --engine {chosen} (--copy-data copies the database)",
            code=ExitCode.PREFLIGHT,
        )


def _reach_or_give_up(error: Unavailable, where: str) -> str:
    """Return the command for a container engine that does not answer, and the one where it is gone for good."""
    reach = f"{error.next.partition(';')[0]}; then ./inv down"
    if not api.is_remote(where):
        return reach
    switch = f"{api.switch()}, then " if where == api.address() else ""
    return f"{reach}; or, if that engine no longer exists, {switch}./inv down"
