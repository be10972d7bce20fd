"""The console's eyes on a play."""

from __future__ import annotations

import gc
import json
import os
import sys
from contextlib import suppress
from typing import Any

from ansible.plugins.callback import CallbackBase

from stackhand.ansible.playbook import EVENTS, INTERRUPTED_TO
from stackhand.cli.console import Reporter
from stackhand.cli.failure import Failure
from stackhand.tasks import reports

DOCUMENTATION = """
name: stackhand
type: stdout
short_description: one line per step, with its time
description:
  - Shows the C(step) or C(steps) of each result and its C(failure); at the end, a plan or a release in full.
  - Under C(./inv), which shows them itself, it passes them on as JSON lines.
options: {}
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Turns Ansible's events into ours."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "stackhand"

    def __init__(self) -> None:
        super().__init__()
        self._task = ""
        descriptor = os.environ.get(EVENTS)
        self._events = os.fdopen(int(descriptor), "w", encoding="utf-8") if descriptor else None
        self._reporter = Reporter(sys.stdout)
        self._report: dict[str, Any] = {}
        if self._events is None:  # Ansible cuts its workers off from it
            os.environ[INTERRUPTED_TO] = str(os.dup(sys.stdout.fileno()))

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002 - Ansible's signature
        """A task begins."""
        self._task = task.get_name().partition(" : ")[2] or task.get_name()
        if "validate_argument_spec" not in task.action:  # a task that Ansible adds to each role
            self._emit({"event": "task", "name": self._task})

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task is done."""
        self._done(result.result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed."""
        if not ignore_errors:
            self._failed(result.result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """This machine cannot be reached from itself."""
        self._failed(result.result)

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002 - Ansible's signature
        """The play is over."""
        if self._report:
            reports.say(self._report)
        gc.freeze()  # or Python would look through all that is loaded once more, as it ends: up to 0.3 s

    def _done(self, found: dict[str, Any]) -> None:
        if "step" in found:
            self._emit({"event": "step", "step": found["step"], "changed": bool(found.get("changed"))})
        for step in found.get("steps", []):
            self._emit({"event": "step", "step": step, "changed": step["changed"]})
        if "report" in found:
            self._emit({"event": "report", "report": found["report"]})

    def _failed(self, found: dict[str, Any]) -> None:
        failure = (
            found.get("failure")
            or Failure(
                f"The task {self._task!r} failed: {found.get('msg', 'it says nothing')}.",
                evidence=str(found.get("stderr") or "").splitlines()[-10:],
            ).to_dict()
        )
        self._emit({"event": "failure", "failure": failure})

    def _emit(self, event: dict[str, Any]) -> None:
        if self._events:
            with suppress(BrokenPipeError):  # who listened was killed; the work is finished none the less
                self._events.write(json.dumps(event) + "\n")
                self._events.flush()
        elif event["event"] == "step":
            self._reporter.step(event["step"], changed=event["changed"])
        elif event["event"] == "failure":
            self._report = {}
            self._reporter.failure(Failure.from_dict(event["failure"]))
        elif event["event"] == "report":
            self._report = event["report"]
