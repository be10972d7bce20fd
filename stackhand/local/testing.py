"""`./inv test` in a project: the command of its `x-stackhand`, run against the stack."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.local import engines, verbs
from stackhand.local.engines.status import ServiceStatus
from stackhand.local.status import not_running
from stackhand.project import settings
from stackhand.project.stack import loading
from stackhand.project.stack.model import Stack
from stackhand.project.state import State
from stackhand.system import program
from stackhand.system.roots import PROJECT

REACTS_WITHIN = 2.0
"""The seconds after Ctrl-C in which the command ends by itself: a terminal interrupts it together with us."""
ENDS_WITHIN = 10.0


def test(*, up: bool) -> None:
    """Run the project's tests, after a start of the stack if `up`; their output is what they write.

    Raises:
        Failure: there is no command, the stack is not running, or the tests failed.
    """
    stack = loading.load(PROJECT, settings.ensure(PROJECT, check=True).values)
    if not stack.test:
        raise Failure(
            f"{stack.file} does not say how this project is tested.",
            evidence=["./inv test runs the command of x-stackhand.test, beside services"],
            next='add x-stackhand: {test: "npm test"}, with your command, to a Compose file',
            code=ExitCode.PREFLIGHT,
        )
    if up:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is of the tests
            verbs.up(engine="auto", free_ports=False, copy_data=False, timeout=120.0, json=False, skip_hooks=False)
    state = State(PROJECT)
    engine = engines.remembered(state, stack)
    if not engine.runs():
        failure = not_running(state)
        raise Failure(failure.what, next="./inv up, or ./inv test --up", code=failure.code)
    services = engine.status()
    for each in (each for each in services if not each.healthy):
        console.notify(f"{console.glyph('warning'):>3} {each.name} is {each.state}: {each.answer}")
    _run(stack, {**settings.load(PROJECT).values, **os.environ, **addresses(stack, services)})


def addresses(stack: Stack, statuses: Iterable[ServiceStatus]) -> dict[str, str]:
    """Return where this machine reaches the services, as variables.

    `STACKHAND_PORT_API` and, where it answers HTTP, `STACKHAND_URL_API`; each published port by the number that it has
    in the container: `STACKHAND_PORT_API_9000`.
    """
    variables = {}
    for service in statuses:
        name = re.sub(r"\W", "_", service.name).upper()
        declared = stack.services[service.name].ports if service.name in stack.services else ()
        chosen = [each for each in service.published if each.target in {port.target for port in declared}]
        for port in (each for each in (*declared, *chosen) if each.published):
            variables[f"STACKHAND_PORT_{name}_{port.target}"] = str(port.published)
        if service.ports:
            variables[f"STACKHAND_PORT_{name}"] = str(service.ports[0])
        if "://" in service.address:
            variables[f"STACKHAND_URL_{name}"] = service.address
    return variables


def _run(stack: Stack, environment: Mapping[str, str]) -> None:
    """Run the command to its end.

    Raises:
        Failure: it cannot be run, it failed, or the user interrupted it.
    """
    shown, child = shlex.join(stack.test), None
    try:
        with program.interrupted_later():
            child = subprocess.Popen(stack.test, cwd=PROJECT, env=environment)
        code = child.wait()
    except OSError as error:
        raise Failure(
            f"{stack.test[0]} cannot be run: {error.strerror}.",
            evidence=[f"x-stackhand.test in {stack.file}: {shown}"],
            next="install it, or correct that command; one with && or variables needs sh -c",
            code=ExitCode.PREFLIGHT,
        ) from error
    except KeyboardInterrupt:
        if child:
            _end(child)
        raise Failure("The tests were interrupted.", next="./inv test", code=ExitCode.INTERRUPTED) from None
    if code:
        how = f"ended with exit code {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
        raise Failure(f"The tests failed: {shown} {how}.")


def _end(child: subprocess.Popen[bytes]) -> None:
    """Pass an interruption on, and wait for the end."""
    for within, number in ((REACTS_WITHIN, signal.SIGINT), (ENDS_WITHIN, signal.SIGKILL), (ENDS_WITHIN, 0)):
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.wait(within)
            return
        child.send_signal(number)
