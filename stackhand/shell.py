"""`./inv shell` and `./inv open`: into a service, or to its page."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence

from stackhand import ROOT, console, engines, model, settings
from stackhand.failure import ExitCode, Failure
from stackhand.state import State


def shell(service: str) -> None:
    """Become a shell that has a service's environment and stands where it does; does not return.

    Raises:
        Failure: the service is not known, or does not run on this engine.
    """
    state = State(ROOT)
    stack = model.load(ROOT, settings.load(ROOT).values)
    argv, environment, folder = engines.remembered(state, stack).shell(stack.service(service))
    if sys.stdin.isatty():
        console.tell(f"a shell of {service}, in {folder}; exit to come back")
    os.chdir(folder)
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - the very purpose


def open_page(services: Sequence[str]) -> None:
    """Open a service in the browser, and say its address in any case.

    Raises:
        Failure: it has no page, or the stack does not run.
    """
    from stackhand.local import not_running

    state = State(ROOT)
    engine = engines.remembered(state)
    pages = {each.name: each.address for each in engine.status() if "://" in each.address}
    if not engine.runs() or not pages:
        raise not_running(state)
    name = services[0] if services else list(pages)[-1]
    if name not in pages:
        raise Failure(f"{name!r} has no page.", evidence=[f"known: {', '.join(pages)}"], code=ExitCode.USAGE)
    console.say(pages[name])
    if _has_browser():
        webbrowser.open(pages[name])


def _has_browser() -> bool:
    """Whether a browser would open where the user sits."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
