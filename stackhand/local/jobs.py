"""`./inv run JOB`: a job of the Compose files, once and now."""

from __future__ import annotations

import time

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import writer
from stackhand.local import engines
from stackhand.local.verbs import not_running
from stackhand.project import settings
from stackhand.project.stack import loading
from stackhand.project.stack.model import Stack
from stackhand.project.state import State
from stackhand.system.roots import PROJECT


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
