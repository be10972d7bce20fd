"""The verbs that act on the stack of this machine: up, down, restart."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO

import msgspec

from stackhand import redaction
from stackhand.ansible import playbook
from stackhand.cli import console
from stackhand.cli.console import confirm
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.reporter import Reporter
from stackhand.local import engines, interruption, otherengine, verification
from stackhand.local.engines.engine import Engine
from stackhand.local.reports import DownReport, UpDocument, UpReport
from stackhand.project import settings
from stackhand.project.hooks import HookFacts, Hooks
from stackhand.project.stack import loading
from stackhand.project.state import State
from stackhand.system.roots import PROJECT


def up(*, engine: str, free_ports: bool, copy_data: bool, timeout: float, json: bool, skip_hooks: bool) -> None:
    """Bring the stack up, or find it up already, between the project's hooks.

    Args:
        engine: the engine's name, or auto.
        free_ports: move the ports when one is taken.
        copy_data: copy the database from the other engine.
        timeout: seconds each service may take, and to wait for the checkout lock.
        json: one document on stdout instead of lines.
        skip_hooks: run none.
    """
    state = State(PROJECT)
    engines.check_name(engine)
    if not timeout > 0:  # nor NaN, which is never over
        raise Failure(f"--timeout {timeout:g} is not a valid time.", next="seconds, above 0", code=ExitCode.USAGE)
    facts = HookFacts("up", state.read().name or PROJECT.name, engine=engine)
    with Hooks("up", facts, "./inv up --skip-hooks", skip=skip_hooks).around():
        report = _up(state, engine, free_ports=free_ports, copy_data=copy_data, timeout=timeout, json=json)
        facts.learn(msgspec.to_builtins(report))
        if json:
            console.document(report)
        else:
            _show_up(report)


def _up(state: State, engine: str, *, free_ports: bool, copy_data: bool, timeout: float, json: bool) -> UpDocument:
    """Do it while nobody else changes the stack, and return its report."""
    began = time.monotonic()
    with state.lock("./inv up", timeout, console.notify) as lock:
        report = None if copy_data else _already_up(state, engine)
        changed = report is None
        if report is None:
            variables = {
                "stack_engine": engine,
                "stack_free_ports": free_ports,
                "stack_copy_data": copy_data,
                "stack_timeout": timeout,
            }
            stream = sys.stderr if json else sys.stdout
            report = _play("up", variables, stream, lock).document(UpReport)
    seconds = round(time.monotonic() - began, 2)
    return UpDocument(**msgspec.structs.asdict(report), changed=changed, seconds=seconds)


def _play(name: str, variables: Mapping[str, object], stream: IO[str], lock: int | None) -> playbook.Outcome:
    return playbook.run(
        name, variables, stream=stream, lock=lock, interrupted=lambda _failure: interruption.failure(name)
    )


def down(*, volumes: bool, yes: bool) -> None:
    """Stop the stack.

    Args:
        volumes: remove its data as well.
        yes: do not ask for the stack's name first.
    """
    state = State(PROJECT)
    with state.lock("./inv down", 60.0, console.notify) as lock:
        left = otherengine.left(state, volumes=volumes)
        name = state.read().name or PROJECT.name
        if not left.running and not (volumes and (left.data or left.unknown)):
            otherengine.give_up(engines.remembered(state))
            console.write("\n".join([f"{name} is not running.", *(f"  but {each}" for each in left.unknown)]))
            return
        if volumes and not yes:
            lost = ", ".join(map(str, left.data)) or "there is none yet"
            unasked = (each.rstrip(".") for each in left.unknown)
            confirm("; ".join([f"This removes the data of {name}: {lost}", *unasked]), name)
        outcome = _play("down", {"stack_volumes": volumes}, sys.stdout, lock)
    console.write(f"{name} is down ({outcome.seconds:.1f} s){'' if volumes else '; its data is kept'}")
    if volumes and (unknown := outcome.document(DownReport).unknown):
        raise Failure(
            f"Some data of {name} was not removed.",
            evidence=unknown,
            next="./inv doctor; once Docker answers, ./inv down --volumes again",
        )


def restart(*, services: Sequence[str]) -> None:
    """Restart some services, or all of them, with the current settings."""
    state = State(PROJECT)
    with state.lock("./inv restart", 60.0, console.notify):
        stack = loading.load(PROJECT, settings.load(PROJECT).values)
        engine = engines.remembered(state, stack)
        wished = {stack.service(each).name for each in services}
        if unable := [name for name in engine.unsupported() if name in wished]:
            raise Failure(
                f"{unable[0]} does not run on this engine: it has no x-embedded.",
                next=f"add x-embedded in {stack.file}, or ./inv up --engine compose",
                code=ExitCode.USAGE,
            )
        names = [name for name in engine.services() if not wished or name in wished]
        if not engine.runs():
            raise not_running(state)
        redaction.remember()
        with interruption.reported("restart"):
            _restart(engine, names)


def _restart(engine: Engine, names: Sequence[str]) -> None:
    reporter = Reporter(sys.stdout)
    reporter.task(f"Restart {', '.join(names)}")
    try:
        for started in engine.restart(names, 120.0):
            reporter.step(started.step(), changed=True)
    finally:
        reporter.stop()


def not_running(state: State) -> Failure:
    """Return the failure of a verb that needs the stack to run."""
    name = state.read().name or PROJECT.name
    return Failure(f"{name} is not running.", next="./inv up", code=ExitCode.UNHEALTHY)


def _already_up(state: State, requested: str) -> UpReport | None:
    """Return the report of a stack that runs just as it would be started now; None: there is work to do."""
    if not state.read().engine:
        return None
    engine = engines.remembered(state)
    if requested not in {"auto", engine.name} or not engine.runs():
        return None
    current = settings.ensure(PROJECT, check=True)
    if current.changed:
        return None
    engine = engines.remembered(state, loading.load(PROJECT, current.values))
    if not engine.unchanged() or not verification.passes(engine):
        return None
    return verification.report(engine, engine.status(), [])


def _show_up(report: UpDocument) -> None:
    seconds = f"{report.seconds:.1f} s"
    if not report.changed:
        console.write(f"{report.stack} is already up, on {report.engine} ({seconds})")
    else:
        path = " > ".join(f"{each.name} {each.seconds:.1f} s" for each in report.slowest_path)
        console.write(f"\n{report.stack} is up, on {report.engine} ({seconds}; slowest path: {path})")
    width = max(len(service.name) for service in report.services)
    for service in report.services:
        for name, address in zip([service.name, *[""] * 99], service.addresses, strict=False):
            console.write(f"  {name:<{width}}  {address}")
    if missing := report.unsupported:
        console.write(f"{console.glyph('note')} not on {report.engine}, so not running: {', '.join(missing)}")
