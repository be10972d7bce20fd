"""What our steps share. A step is an action plugin: it runs inside Ansible's own process, so it costs no new Python.

It declares its options as the fields of its class `Options`. Each gets its value from the task, or else from the
variable `PREFIX_OPTION`: given with `-e`, by the verb, or by an earlier step as one of the `facts` of its result. A
`Result` has, beside those and Ansible's `changed`, a `step` for the console; one that failed has a `failure`.
"""

from __future__ import annotations

import difflib
import json
import time
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

import msgspec
from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from msgspec.structs import FieldInfo, fields

from stackhand import redaction
from stackhand.ansible import events
from stackhand.aws import errors
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure, FailureDocument
from stackhand.cli.reporter import StepReport
from stackhand.project import ownership
from stackhand.project.state import State
from stackhand.system.roots import PROJECT

FORMER = frozenset({"environment", "images", "infrastructure", "preflight", "release", "stack", "verification"})
"""What the names of options began with, each with that of its role; `stack` still has its own."""
WANTED = {bool: "true or false", float: "a number", int: "a whole number", str: "a text"}
Kind = TypeVar("Kind", bound=msgspec.Struct)


class StepOptions(msgspec.Struct, kw_only=True):
    """What a step can be given; nothing, unless it declares more.

    A field without a default comes from the task or from an earlier step, and only `environment` from the user.
    """


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

    Options: ClassVar[type[StepOptions]] = StepOptions
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
        """Do the work, or with `check` change nothing, and say whether anything is or would be changed.

        Raises:
            Failure: with what the user reads.
        """

    def _options(self) -> Any:
        variables = {field.name: f"{self.prefix}_{field.name}" for field in fields(self.Options)}
        selected = {name: self._variables[each] for name, each in variables.items() if each in self._variables}
        given = {**(self._templar.template(selected) if selected else {}), **self._task.args}
        return convert_options(self.Options, given, str(self._task.action), self.prefix)

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


def convert_options(kind: type[Kind], given: Mapping[str, Any], step: str, prefix: str) -> Kind:
    """Return a step's options from what its task and the variables give.

    Raises:
        Failure: an option is unknown, missing or of the wrong type.
    """
    known = {field.name: field for field in fields(kind)}
    for name in given:
        if name not in known:
            raise _wrong(f"The step {step} has no option {name}.", f"its options: {', '.join(known) or 'none'}")
    for name, field in known.items():
        if field.required and name not in given:
            variable = f"{prefix}_{name}"
            raise _wrong(f"The step {step} needs {variable}.", next=f"-e {variable}=VALUE")
    return kind(**{name: _converted(known[name], value, f"{prefix}_{name}") for name, value in given.items()})


def check_options(given: Mapping[str, Any], steps: Iterable[tuple[str, type[StepOptions]]]) -> None:
    """Refuse extra variables of a playbook, before its first step, which no step takes or whose type is wrong.

    Each step is told by its prefix and its options.

    Raises:
        Failure: one is unknown, or of the wrong type.
    """
    known = {
        f"{prefix}_{field.name}": field
        for prefix, kind in steps
        for field in fields(kind)
        if not field.required or field.name == "environment"
    }
    for name, value in given.items():
        if name in known:
            if not (isinstance(value, str) and "{{" in value):  # a template, which Ansible evaluates first
                _converted(known[name], value, name)
        elif name.partition("_")[0] in FORMER | {prefix for prefix, _ in steps}:
            raise _wrong(
                f"This playbook has no option {name}.",
                f"its options: {', '.join(sorted(known)) or 'none'}",
                _meant(name, known),
            )


def _meant(name: str, known: Iterable[str]) -> str:
    """Return the option that was probably meant, as it is given."""
    ours = f"stackhand_{name.partition('_')[2]}"
    near = [ours] if ours in known else difflib.get_close_matches(name, known, n=1)
    return f"-e {near[0]}=VALUE" if near else ""


def _converted(field: FieldInfo, value: Any, variable: str) -> Any:
    """Return a value as the type that the field has; a person gives Ansible texts."""
    value = json.loads(json.dumps(value))  # without Ansible's tags, which no other library knows
    try:
        if field.type is bool and isinstance(value, str):
            return boolean(value)
        return msgspec.convert(value, field.type, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        wanted = ", ".join(map(str, get_args(field.type))) if get_origin(field.type) is Literal else ""
        raise _wrong(
            f"{variable} cannot be {value!r}.",
            f"it is {'one of ' if wanted else ''}{wanted or WANTED.get(field.type, f'wrong: {error}')}",
        ) from error


def _wrong(what: str, evidence: str = "", next: str = "") -> Failure:  # noqa: A002 - as Failure calls it
    return Failure(what, evidence=[evidence] if evidence else (), next=next, code=ExitCode.USAGE)
