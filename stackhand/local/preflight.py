"""Before the start: the disk has room, every port the stack wants is free or ours already, and no other stack runs."""

from __future__ import annotations

import platform
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from itertools import combinations
from pathlib import Path

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import endpoint
from stackhand.containers.endpoint import Unavailable
from stackhand.local import engines
from stackhand.local.engines.compose import volumes
from stackhand.local.engines.engine import Engine
from stackhand.project import settings
from stackhand.project.compose import resolution
from stackhand.project.stack.model import EVERYWHERE, Port, Stack
from stackhand.project.state import State
from stackhand.system import ports as machine_ports

NEEDED_MB = 200
"""What a new PostgreSQL data folder with its first WAL segments and our logs take, with room to work."""


def machine(root: Path) -> str:
    """Return what this machine has, in words.

    Raises:
        Failure: it has not enough of it.
    """
    free = free_space(root)
    for place, megabytes in free.items():
        if megabytes < NEEDED_MB:
            raise Failure(
                f"The disk of {place} has {megabytes} MB free, and the stack needs {NEEDED_MB} MB.",
                next="free space there (old snapshots are in .stackhand/snapshots), then repeat the command",
                code=ExitCode.PREFLIGHT,
            )
    return f"Python {platform.python_version()}, {min(free.values()) / 1000:.1f} GB of disk free"


def free_space(root: Path) -> dict[Path, int]:
    """Return the free space, in MB, of each disk the stack writes to, by a place on it."""
    data = root / ".stackhand" / "data"
    lowest = next(path for path in (data / "postgres", data, data.parent, root) if path.exists())
    places = [root] if lowest.stat().st_dev == root.stat().st_dev else [root, lowest]
    return {place: shutil.disk_usage(place).free // 1_000_000 for place in places}


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
    ours = engine.own_ports()
    wanted = _wanted(stack, engine.services())
    taken = {
        number: name for number, name in wanted.items() if number not in ours and not machine_ports.is_free(number)
    }
    if not taken:
        return {}
    values = settings.ensure(stack.root, check=True).values
    variables = resolution.ports_by_variable(stack.root, values)
    if not free:
        raise _taken(engine, taken, variables)
    fixed = [number for number in taken if number not in variables]
    if fixed:
        variable = re.sub(r"[^A-Z0-9]", "_", taken[fixed[0]].upper())
        raise Failure(
            f"Port {fixed[0]} of {taken[fixed[0]]} is taken, and {stack.file} has a fixed value.",
            next=f"write it as ${{{variable}_PORT:-{fixed[0]}}}",
            code=ExitCode.PORT_TAKEN,
        )
    everything = _wanted(stack, stack.services)
    movable = {variables[number]: number for number in everything if number in variables}
    moved = machine_ports.free_block(movable, {number for number in everything if number not in variables})
    if not check:
        settings.move_ports(stack.root, moved)
        with engine.state.edit() as memory:
            memory.ports = moved
    return moved


def require_any(engine: Engine) -> None:
    """Refuse an engine that none of the services runs on.

    Raises:
        Failure: it lists what each of them needs for that.
    """
    if not engine.services():
        raise Failure(
            f"None of the services runs on {engine.name}: they have no x-embedded.",
            evidence=console.together(f"{name}: {engine.advice(name)}" for name in engine.unsupported()),
            next=f"add that in {engine.stack.file}, or ./inv up --engine compose",
            code=ExitCode.PREFLIGHT,
        )


def unsupported(engine: Engine) -> list[str]:
    """Return a sentence on the services that do not run on this engine, for each thing to add."""
    lacking: dict[str, list[str]] = {}
    for name in engine.unsupported():
        waiting = [each for each in engine.services() if name in engine.stack.services[each].depends_on]
        without = f"; {', '.join(waiting)} will run without it" if waiting else ""
        lacking.setdefault(f"add {engine.advice(name)}{without}", []).append(name)
    return [f"skipped, for lack of x-embedded: {', '.join(names)}; {advice}" for advice, names in lacking.items()]


def scheduled(engine: Engine) -> list[str]:
    """Return a sentence on each job that only its schedule starts, and that only on AWS."""
    jobs = [each for each in engine.stack.services.values() if each.scheduled]
    return [f"not started: {each.name}, a job for {each.scheduled} on AWS; ./inv run {each.name}" for each in jobs]


def open_ports(engine: Engine) -> list[str]:
    """Return a sentence on ports that other machines reach; the embedded engine listens on this one alone."""
    services = engine.stack.services.values() if engine.name == "compose" else []
    ports = [f"{service.name} at {port}" for service in services for port in service.ports if port.is_open]
    return [f"reachable from the network: {', '.join(ports)}"] if ports else []


def _wanted(stack: Stack, names: Iterable[str]) -> dict[int, str]:
    """Return the ports that services publish, with the service's name; what the engine chooses cannot be taken.

    Raises:
        Failure: two services publish the same one.
    """
    pairs = [(port, name) for name in names for port in stack.services[name].ports if port.published is not None]
    for (port, name), (other, owner) in combinations(pairs, 2):
        if name != owner and _collide(port, other):
            raise Failure(
                f"{name} and {owner} publish the same port of this machine, {port.published}.",
                next=f"give one of them another port in {stack.file}, then repeat the command",
                code=ExitCode.PREFLIGHT,
            )
    return {port.published: name for port, name in pairs if port.published and port.protocol == "tcp"}


def _collide(one: Port, other: Port) -> bool:
    addresses = {one.address, other.address}
    everywhere = "" in addresses or (EVERYWHERE in addresses and not any(":" in each for each in addresses))
    same_number = (one.published, one.protocol) == (other.published, other.protocol)
    return same_number and (len(addresses) == 1 or everywhere)


def _taken(engine: Engine, taken: dict[int, str], variables: Mapping[int, str]) -> Failure:
    lines = [
        f"{number} ({name}{', ' + variables[number] if number in variables else ''}): {engine.holder(number)}"
        for number, name in taken.items()
    ]
    numbers = ", ".join(map(str, taken))
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
    before, now = engine.state.read().name, engine.stack.name
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
    known = state.read().engine or chosen
    if known == chosen:
        return
    try:
        running = engines.remembered(state).still_running()
    except Unavailable as error:
        raise Failure(
            f"It is unknown whether this checkout still runs on {known}, whose data {chosen} does not use.",
            evidence=[error.what, *error.evidence],
            next=_reach_or_give_up(error, volumes.awaited(state)),
            code=ExitCode.PREFLIGHT,
        ) from error
    if running:
        where = volumes.awaited(state) if known == "compose" else ""
        asked = f"DOCKER_HOST={shlex.quote(where)} " if where not in {"", endpoint.address()} else ""
        raise Failure(
            f"This checkout runs on {known}, whose data {chosen} does not use.",
            next=f"{asked}./inv down, then ./inv up --engine {chosen} (--copy-data copies the database)",
            code=ExitCode.PREFLIGHT,
        )


def _reach_or_give_up(error: Unavailable, where: str) -> str:
    """Return the command for a container engine that does not answer, and the one where it is gone for good."""
    reach = f"{error.next.partition(';')[0]}; then ./inv down"
    if not endpoint.is_remote(where):
        return reach
    switch = f"{endpoint.switch()}, then " if where == endpoint.address() else ""
    return f"{reach}; or, if that engine no longer exists, {switch}./inv down"
