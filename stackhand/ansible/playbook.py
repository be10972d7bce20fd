"""Run one of our playbooks: show it live, keep Ansible's own words in a log, and turn its end into ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import psutil

from stackhand.ansible import process
from stackhand.ansible.events import EVENTS, Progress, Reported, StepDone, StepFailed, TaskBegan, decode
from stackhand.cli import streams
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import tail
from stackhand.cli.reporter import Reporter
from stackhand.project.hooks import Hooks
from stackhand.project.state import State
from stackhand.system import program
from stackhand.system.roots import CONTENT, IS_CHECKOUT, PROJECT

ENDS_WITHIN = 15.0
Child = subprocess.Popen[bytes] | psutil.Process
Document = TypeVar("Document")


@dataclass
class Outcome:
    """What a playbook did.

    Args:
        report: the document of its last task, as it came; empty where there is none.
        changed: whether any step changed something.
        seconds: how long it took.
    """

    report: bytes = b""
    changed: bool = False
    seconds: float = 0.0

    def document(self, kind: type[Document]) -> Document:
        """Return the report as the type that the playbook ends with."""
        return msgspec.json.decode(self.report, type=kind)

    def facts(self) -> dict[str, Any]:
        """Return the report as it came, whatever its type: what hooks learn of it."""
        return self.document(dict[str, Any]) if self.report else {}


def by_hand(playbook: str, folder: Path = PROJECT) -> str:
    """Return the command line by which a person runs a playbook in the project's folder."""
    ansible = os.path.relpath(Path(sys.prefix) / "bin" / "ansible-playbook", folder)
    if IS_CHECKOUT:
        return f"{ansible} playbooks/{playbook}.yml"
    settings = os.path.relpath(CONTENT / "ansible.cfg", folder)
    return f"ANSIBLE_CONFIG={settings} {ansible} stackhand.ops.{playbook}"


def run(
    playbook: str,
    variables: Mapping[str, Any],
    *,
    reporter: Reporter,
    lock: int | None,
    interrupted: Callable[[Failure | None], Failure],
) -> Outcome:
    """Run a playbook to its end.

    Args:
        playbook: its name, without folder and ending.
        variables: Ansible's extra variables.
        reporter: shows its steps.
        lock: the descriptor of `State.lock`, which the playbook shares.
        interrupted: returns what to say when the user interrupts it, from what the playbook said of that itself.

    Raises:
        Failure: a task failed, Ansible itself did, or the user interrupted it.
    """
    state = State(PROJECT)
    log_path = state.logs / f"playbook-{playbook}.log"
    began = time.monotonic()
    outcome = Outcome()
    state.make()
    reading, writing = os.pipe()
    with log_path.open("wb") as log, os.fdopen(reading, encoding="utf-8") as events:
        child = process.start(playbook, variables, state, log=log, events=writing, lock=lock)
        os.close(writing)
        code, failure = _watch(child, events, reporter, outcome, interrupted)
    outcome.seconds = time.monotonic() - began
    if failure is None and code != 0:
        failure = Failure(
            f"Ansible exited with code {code} before the playbook {playbook} finished.",
            evidence=tail(log_path, 10),
            next=f"read {log_path.relative_to(PROJECT)}",
        )
    if failure:
        raise failure
    return outcome


def continue_watched(show: Callable[[bytes], None], hooks: Hooks | None) -> None:
    """Go on in a child process, while this one does what `./inv` does: shows the events, and ends with their exit code.

    For a playbook that somebody starts with ansible-playbook; it returns in the child only.

    Args:
        show: shows the report of a playbook that succeeded.
        hooks: run before and after it, by this process.
    """
    if hooks:
        _before(hooks)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()  # the terminal interrupts who watches, and that ends us, as under ./inv
        os.environ[EVENTS] = str(writing)
        return
    code = ExitCode.FAILED
    try:
        os.close(writing)
        code = _watch_to_end(psutil.Process(child), reading, show, hooks)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(streams.finish(int(code)))  # the child does what is left of Ansible's own end


def _before(hooks: Hooks) -> None:
    """Run what comes before a playbook, which a signal ends too; end this process when it fails."""
    with program.handling(signal.default_int_handler):
        try:
            hooks.before()
        except Failure as failure:
            streams.prepare()
            hooks.failed(failure)
            Reporter(sys.stdout).failure(failure)
            os._exit(streams.finish(int(failure.code)))


def _watch_to_end(child: psutil.Process, reading: int, show: Callable[[bytes], None], hooks: Hooks | None) -> ExitCode:
    """Show a playbook to its end; return its exit code."""
    streams.prepare()
    for each in program.INTERRUPTS:
        signal.signal(each, signal.default_int_handler)
    outcome, reporter = Outcome(), Reporter(sys.stdout)
    try:
        with os.fdopen(reading, encoding="utf-8") as events:
            code, failure = _watch(child, events, reporter, outcome, _interrupted)
    except Failure as interrupted:
        code, failure = 0, interrupted
    if failure:
        if hooks:
            hooks.failed(failure)
        reporter.failure(failure)
        return failure.code
    if outcome.report and code == 0:
        show(outcome.report)
    if hooks and code == 0:
        hooks.facts.learn({"changed": outcome.changed, **outcome.facts()})
        hooks.after()
    return ExitCode.FAILED if code else ExitCode.DONE  # Ansible has said why: its own codes mean something else


def _interrupted(failure: Failure | None) -> Failure:
    return failure or Failure("Interrupted.", next="repeat the command", code=ExitCode.INTERRUPTED)


def _watch(
    child: Child,
    events: IO[str],
    reporter: Reporter,
    outcome: Outcome,
    interrupted: Callable[[Failure | None], Failure],
) -> tuple[int, Failure | None]:
    """Show a playbook's events until it ends; return its exit code and the failure that it reported.

    Raises:
        Failure: the user interrupted it.
    """
    try:
        failure = _follow(events, reporter, outcome)
        return child.wait(), failure
    except KeyboardInterrupt:
        failure = _end(child, events, reporter, outcome)
        raise interrupted(failure) from None
    finally:
        reporter.stop()


def _follow(lines: IO[str], reporter: Reporter, outcome: Outcome) -> Failure | None:
    """Show the events until the playbook closes its end; return the failure it told of."""
    failure = None
    for line in lines:
        match decode(line):
            case TaskBegan(name):
                reporter.task(name)
            case StepDone(step, changed):
                reporter.step(step, changed=changed)
                outcome.changed |= changed
            case Progress(text, lasting, counts):
                (reporter.note if lasting else reporter.count if counts else reporter.progress)(text)
            case Reported(report):
                outcome.report = bytes(report)
            case StepFailed(document):
                failure = failure or Failure.of(document)
    return failure


def _end(child: Child, events: IO[str], reporter: Reporter, outcome: Outcome) -> Failure | None:
    """End the playbook, in bounded time, and return the failure that it told of meanwhile."""
    child.send_signal(signal.SIGINT)
    timer = threading.Timer(ENDS_WITHIN, _kill, [child.pid])
    timer.start()
    try:
        failure = _follow(events, reporter, outcome)
        child.wait()
    except KeyboardInterrupt:  # once more
        _kill(child.pid)
        child.wait()
        return None
    finally:
        timer.cancel()
    return failure


def _kill(pid: int) -> None:
    """Kill a playbook and its workers, which are sessions of their own."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
