"""What our action plugins share: they run inside Ansible's own process, so that a step costs no new Python.

A result has, beside Ansible's `changed`, a `step` for the console and, when it failed, a `failure`.
"""

from __future__ import annotations

import json
import os
import time
from abc import abstractmethod
from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from stackhand import ROOT, redaction
from stackhand.ansible.playbook import EVENTS
from stackhand.aws import errors
from stackhand.cli import console, defect
from stackhand.cli.console import COUNTS_EVERY
from stackhand.cli.failure import Failure
from stackhand.project import ownership
from stackhand.project.state import State


class Action(ActionBase):  # type: ignore[misc]
    """An action whose work is the method `act`; its class attribute `options` names what a task may give it."""

    options: frozenset[str] = frozenset()
    _told = ""
    _counted = 0.0

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Do the work and return it as a task's result."""
        super().run(tmp, task_vars)
        self._variables = task_vars
        self.validate_argument_spec(argument_spec={name: {"type": "raw"} for name in self.options})
        began = time.monotonic()
        try:
            result = self.act(self._task.args, check=bool(self._task.check_mode))
        except Failure as failure:
            return _failed(failure)
        except PermissionError as error:
            return _failed(ownership.refused(error))
        except AnsibleError:  # which Ansible tells itself
            raise
        except Exception as error:
            return _failed(errors.failure_of(error) or defect.of(str(self._task.action), error))
        if "step" in result:
            result["step"].setdefault("seconds", time.monotonic() - began)
        return result

    @abstractmethod
    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Do the work.

        Args:
            arguments: what the task gives.
            check: change nothing, and say whether anything would be changed.

        Raises:
            Failure: with what the user reads.
        """

    @property
    def state(self) -> State:
        """The checkout's `.stackhand`."""
        return State(ROOT)

    @property
    def told_at_once(self) -> bool:
        """Whether there is somebody to tell things to before Ansible does, at the end of the task."""
        return EVENTS in os.environ

    def note(self, text: str) -> None:
        """Tell something of a long action that is to stay on the screen."""
        self.progress(text, kept=True)

    def count(self, text: str) -> None:
        """Tell how much of a long action is done: on a terminal at once, elsewhere now and then."""
        if self.told_at_once:
            self._tell({"event": "progress", "text": text, "counts": True})
        elif time.monotonic() >= self._counted + COUNTS_EVERY:
            self._counted = time.monotonic()
            self.progress(text)

    def progress(self, text: str, *, kept: bool = False) -> None:
        """Tell how far a long action is; what is not `kept` makes room for what comes next."""
        if self.told_at_once:
            self._tell({"event": "progress", "text": text, "kept": kept})
        elif text != self._told:
            with suppress(OSError):  # Ansible was killed; its worker may have something to finish
                Display().display(f"  · {console.for_people(text)}")
        self._told = text

    def tell_task(self, name: str) -> None:
        """Tell what is being done right now, if that can be told at once."""
        if self.told_at_once:
            self._tell({"event": "task", "name": name})

    def tell_step(self, step: dict[str, Any], *, changed: bool) -> None:
        """Tell of a part that is done, if that can be told at once."""
        if self.told_at_once:
            self._tell({"event": "step", "step": step, "changed": changed})

    def _tell(self, event: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # who listened was killed; the work is finished none the less
            os.write(int(os.environ[EVENTS]), (json.dumps(event) + "\n").encode())

    def module(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run one of Ansible's modules, with the task's own environment, and return what it says."""
        return dict(self._execute_module(module_name=name, module_args=arguments, task_vars=self._variables))


def _failed(failure: Failure) -> dict[str, Any]:
    failure = redaction.current().failure(failure)  # Ansible shows results as well, to who asks with -vvv
    return {"failed": True, "msg": failure.text(), "failure": failure.to_dict()}


def step(name: str, words: str, **more: Any) -> dict[str, Any]:
    """Return a line for the console: its name, what there is to say, and optionally seconds and notes."""
    return {"name": name, "words": words, **more}
