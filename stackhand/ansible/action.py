"""What our steps share. A step is an action plugin: it runs inside Ansible's own process, so it costs no new Python.

It declares its options as the fields of its class `Options`. Each gets its value from the task, or else from the
variable `PREFIX_OPTION`: given with `-e`, by the verb, or by an earlier step as one of the `facts` of its result. A
`Result` has, beside those and Ansible's `changed`, a `step` for the console; one that failed has a `failure`.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from msgspec.structs import fields

from stackhand import redaction
from stackhand.ansible import events, options
from stackhand.aws import errors
from stackhand.cli import console
from stackhand.cli.failure import Failure, FailureDocument
from stackhand.cli.reporter import StepReport
from stackhand.project import ownership
from stackhand.project.state import State
from stackhand.system.roots import PROJECT


class Result(msgspec.Struct, omit_defaults=True):
    """What a step returns.

    Args:
        changed: whether anything is different now.
        step: its line for the console.
        facts: variables for later steps, by their names without a prefix.
        report: the document of the playbook, where this step is the one that has it.
    """

    changed: bool
    step: StepReport | None = None
    facts: Mapping[str, Any] = {}
    report: Any = None


class FailedResult(msgspec.Struct):
    """What Ansible gets of a step that failed."""

    msg: str
    failure: FailureDocument
    failed: bool = True


class Action(ActionBase):  # type: ignore[misc]
    """A step, whose work is the method `act`."""

    Options: ClassVar[type[options.Options]] = options.Options
    prefix = "stackhand"

    def run(self, tmp: Any = None, task_vars: Any = None) -> dict[str, Any]:
        """Do the work and return it as a task's result."""
        super().run(tmp, task_vars)
        self._variables = task_vars or {}
        began = time.monotonic()
        try:
            result = self.act(self._options(), check=bool(self._task.check_mode))
        except Failure as failure:
            return _failed(failure)
        except PermissionError as error:
            return _failed(ownership.refused(error))
        except AnsibleError:  # which Ansible tells itself
            raise
        except Exception as error:
            return _failed(errors.failure_of(error) or console.defect(str(self._task.action), error))
        if result.step and result.step.seconds is None:
            result.step.seconds = time.monotonic() - began
        document: dict[str, Any] = msgspec.to_builtins(result)
        if facts := document.pop("facts", None):
            document["ansible_facts"] = {f"{self.prefix}_{name}": value for name, value in facts.items()}
        return document

    @abstractmethod
    def act(self, options: Any, *, check: bool) -> Result:
        """Do the work.

        Args:
            options: the step's own `Options`.
            check: change nothing, and say whether anything would be changed.

        Raises:
            Failure: with what the user reads.
        """

    def _options(self) -> Any:
        variables = {field.name: f"{self.prefix}_{field.name}" for field in fields(self.Options)}
        selected = {name: self._variables[each] for name, each in variables.items() if each in self._variables}
        given = {**(self._templar.template(selected) if selected else {}), **self._task.args}
        return options.convert(self.Options, given, str(self._task.action), self.prefix)

    @property
    def state(self) -> State:
        """The checkout's `.stackhand`."""
        return State(PROJECT)

    def progress(self, text: str) -> None:
        """Report how far a long step is; it makes room for what comes next."""
        events.emit(events.Progress(text))

    def note(self, text: str) -> None:
        """Report something of a long step that is to stay on the screen."""
        events.emit(events.Progress(text, lasting=True))

    def count(self, text: str) -> None:
        """Report how much of a long step is done: on a terminal at once, elsewhere now and then."""
        events.emit(events.Progress(text, counts=True))

    def module(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run one of Ansible's modules, with the task's own environment, and return its result."""
        return dict(self._execute_module(module_name=name, module_args=arguments, task_vars=self._variables))


def _failed(failure: Failure) -> dict[str, Any]:
    failure = redaction.current().failure(failure)  # Ansible shows results as well, to who asks with -vvv
    result: dict[str, Any] = msgspec.to_builtins(FailedResult(failure.text(), failure.document()))
    return result
