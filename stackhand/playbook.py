"""Run one of our playbooks: show it live, keep Ansible's own words in a log, and turn its end into ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from stackhand import ROOT
from stackhand.console import Reporter
from stackhand.failure import ExitCode, Failure
from stackhand.loglines import tail
from stackhand.state import TURN_HELD, State

EVENTS = "STACKHAND_EVENTS"
"""Names the descriptor that a playbook writes its events to, one JSON object a line."""
ENDS_WITHIN = 15.0


@dataclass
class Outcome:
    """What a playbook did.

    Args:
        report: the document of its last task.
        steps: its steps, as they were shown.
        changed: whether any step changed something.
        seconds: how long it took.
    """

    report: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    changed: bool = False
    seconds: float = 0.0


def command(playbook: str, variables: Mapping[str, Any]) -> list[str]:
    """Return the command line that runs `playbooks/NAME.yml` with extra variables."""
    return [
        sys.executable,
        "-m",
        "ansible.cli.playbook",
        f"playbooks/{playbook}.yml",
        "--extra-vars",
        json.dumps(dict(variables), sort_keys=True),
    ]


def run(playbook: str, variables: Mapping[str, Any], *, stream: IO[str], turn: int | None) -> Outcome:
    """Run a playbook to its end.

    Args:
        playbook: its name, without folder and ending.
        variables: Ansible's extra variables.
        stream: where its steps are shown.
        turn: the descriptor of `State.turn`, which the playbook shares.

    Raises:
        Failure: a task failed, Ansible itself did, or the user interrupted it.
    """
    state = State(ROOT)
    log_path = state.logs / f"playbook-{playbook}.log"
    began = time.monotonic()
    outcome = Outcome()
    reporter = Reporter(stream)
    reading, writing = os.pipe()
    inherited = (writing,) if turn is None else (writing, turn)
    with log_path.open("wb") as log, os.fdopen(reading, encoding="utf-8") as events:
        child = subprocess.Popen(
            command(playbook, variables),
            cwd=ROOT,
            env=_environment(writing, state),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=inherited,
            start_new_session=True,
        )
        os.close(writing)
        try:
            failure = _follow(events, reporter, outcome)
            code = child.wait()
        except KeyboardInterrupt:
            raise _interrupted(playbook, child) from None
        finally:
            reporter.stop()
    outcome.seconds = time.monotonic() - began
    if failure is None and code != 0:
        failure = Failure(
            f"Ansible ended with exit code {code} before the playbook {playbook} did.",
            evidence=tail(log_path, 10),
            next=f"look into {log_path.relative_to(ROOT)}",
        )
    if failure:
        raise failure
    return outcome


def _follow(events: IO[str], reporter: Reporter, outcome: Outcome) -> Failure | None:
    """Show the events until the playbook closes its end; return the failure it told of."""
    failure = None
    for line in events:
        event = json.loads(line)
        match event["event"]:
            case "task":
                reporter.task(event["name"])
            case "step":
                reporter.step(event["step"], changed=event["changed"])
                outcome.steps.append(event["step"])
                outcome.changed |= event["changed"]
            case "progress":
                reporter.progress(event["text"])
            case "report":
                outcome.report = event["report"]
            case "failure":
                failure = failure or Failure.from_dict(event["failure"])
    return failure


def _environment(events: int, state: State) -> dict[str, str]:
    return {
        **os.environ,
        EVENTS: str(events),
        TURN_HELD: str(state.directory),
        # Named, because Ansible ignores the file of a folder that everybody may write.
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        # Ansible refuses every locale that is not UTF-8.
        "LC_ALL": "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8",
    }


def _interrupted(playbook: str, child: subprocess.Popen[bytes]) -> Failure:
    """End the playbook and say what is left of it."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(timeout=ENDS_WITHIN)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    from stackhand import engines

    running = [status.name for status in engines.remembered(State(ROOT)).status() if status.pid]
    return Failure(
        f"Interrupted during {playbook}.",
        evidence=[f"running now: {', '.join(running) or 'nothing'}"],
        next="./inv up to go on, ./inv down to stop",
        code=ExitCode.INTERRUPTED,
    )
