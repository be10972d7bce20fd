"""The verbs that act on the stack of this machine: up, down, restart, and run JOB."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import IO

import msgspec

from stackhand import redaction
from stackhand.ansible import playbook
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import writer
from stackhand.cli.reporter import Reporter
from stackhand.local import engines, interruption, otherengine, verification
from stackhand.local.engines.engine import not_here
from stackhand.local.otherengine import DownReport
from stackhand.local.status import not_running
from stackhand.local.verification import UpReport
from stackhand.project import settings
from stackhand.project.hooks import HookFacts, Hooks
from stackhand.project.stack import loading
from stackhand.project.stack.model import Stack
from stackhand.project.state import State
from stackhand.system.roots import PROJECT


class UpDocument(UpReport, frozen=True):
    """The document of `up --json` (docs/output.md): also whether the verb changed anything, and the seconds it took."""

    changed: bool
    seconds: float


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
        name, variables, reporter=Reporter(stream), lock=lock, interrupted=lambda _failure: interruption.failure(name)
    )


def down(*, volumes: bool, yes: bool) -> None:
    """Stop the stack; `volumes` removes its data as well, once its name was typed, or with `yes` without asking."""
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
            console.confirm("; ".join([f"This removes the data of {name}: {lost}", *unasked]), name)
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
            raise not_here(engine, unable[0])
        names = [name for name in engine.services() if not wished or name in wished]
        if not engine.runs():
            raise not_running(state)
        redaction.remember()
        reporter = Reporter(sys.stdout)
        with interruption.reported("restart"):
            reporter.task(f"Restart {', '.join(names)}")
            try:
                for started in engine.restart(names, 120.0):
                    reporter.step(started.step(), changed=True)
            finally:
                reporter.stop()


def run(name: str) -> None:
    """Run a job beside the stack, show what it says, and tell its exit code.

    Raises:
        Failure: there is no such job, the stack does not run, or the job's exit code is not 0.
    """
    state = State(PROJECT)
    stack = loading.load(PROJECT, settings.load(PROJECT).values)
    _require_job(stack, name)
    engine = engines.remembered(state, stack)
    if not engine.runs():
        raise not_running(state)
    write, began = writer([name]), time.monotonic()
    try:
        code = engine.run_job(engine.stack.services[name], lambda line: write(name, line))
    except KeyboardInterrupt:
        again = f"./inv run {name} to start again"
        raise Failure(f"Interrupted; {name} was stopped.", next=again, code=ExitCode.INTERRUPTED) from None
    if code != 0:
        raise Failure(f"{name} ended with exit code {code}.", next=f"fix it, then ./inv run {name}")
    console.write(f"{name}: exit code 0 ({time.monotonic() - began:.1f} s)")


def _require_job(stack: Stack, name: str) -> None:
    service = stack.service(name)
    if service.kind != "job":
        jobs = [each.name for each in stack.services.values() if each.kind == "job"]
        raise Failure(
            f"{name} is of kind {service.kind}, and run starts jobs.",
            evidence=[f"jobs: {', '.join(jobs) or 'none'}"],
            next="docs/architecture.md says what makes a service a job",
            code=ExitCode.USAGE,
        )


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
