"""`./inv shell` and `./inv open`: into a service, or to its page."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.local import engines
from stackhand.local.engines import health
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import ServiceStatus
from stackhand.local.status import not_running
from stackhand.project import settings
from stackhand.project.stack import loading
from stackhand.project.state import State
from stackhand.system import waiting
from stackhand.system.roots import PROJECT


def shell(service: str) -> None:
    """Become a shell that has a service's environment and stands where it does; does not return.

    Raises:
        Failure: the service is not known, or does not run on this engine.
    """
    state = State(PROJECT)
    stack = loading.load(PROJECT, settings.load(PROJECT).values)
    argv, environment, folder = engines.remembered(state, stack).shell(stack.service(service))
    if sys.stdin.isatty():
        console.notify(f"a shell of {service}, in {folder}; exit to return")
    os.chdir(folder)
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - the very purpose


def open_page(services: Sequence[str]) -> None:
    """Open a service in the browser, and say its address in any case.

    Raises:
        Failure: it has no page, or does not run.
    """
    state = State(PROJECT)
    engine = engines.remembered(state)
    if not engine.runs():
        raise not_running(state)
    statuses = {each.name: each for each in engine.status()}
    pages = _pages(engine, statuses.values())
    if services and services[0] not in pages:
        raise _no_page(services[0], statuses, pages)
    if not pages:
        raise Failure(
            "No running service answers HTTP at a published port.",
            evidence=[
                f"{each.name}: {each.state}{f' at {each.address}' if each.address else ''}"
                for each in statuses.values()
            ],
            next="./inv status",
            code=ExitCode.UNHEALTHY,
        )
    name = services[0] if services else list(pages)[-1]
    console.write(pages[name])
    if others := [each for each in pages if each != name and not services]:
        console.notify(f"also: {', '.join(f'./inv open {each}' for each in others)}")
    # where the user sits, as far as a browser would open there
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(pages[name])


def _pages(engine: Engine, services: Iterable[ServiceStatus]) -> dict[str, str]:
    """Return the addresses of the services that run and answer in HTTP, by name, in the order of their start.

    One with an `x-health` says so itself; any other that publishes a port is asked.
    """
    running = {each.name: each for each in services if each.address and each.state in {"healthy", "unhealthy"}}
    unknown = [name for name in running if engine.question(name).kind == "tcp"]
    asked = waiting.gather(
        {name: partial(health.speaks_http, running[name].ports[0]) for name in unknown}, health.ALL_WITHIN
    )
    pages = {}
    for name, each in running.items():
        if "://" in each.address:
            pages[name] = each.address
        elif asked.get(name):
            pages[name] = f"http://{each.address}"
    return pages


def _no_page(name: str, services: Mapping[str, ServiceStatus], pages: Mapping[str, str]) -> Failure:
    if name not in services:
        evidence = [f"known: {', '.join(services)}"]
        return Failure(f"There is no service {name!r} in this stack.", evidence=evidence, code=ExitCode.USAGE)
    status = services[name]
    if status.state not in {"healthy", "unhealthy"}:
        what = f"{name} is not running: {status.answer}."
        return Failure(what, next=f"./inv logs {name}", code=ExitCode.UNHEALTHY)
    evidence = [f"known: {', '.join(pages) or 'none'}"]
    return Failure(f"{name!r} serves no page.", evidence=evidence, code=ExitCode.USAGE)
