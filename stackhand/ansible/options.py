"""The options of a step, declared once: the fields of a struct, with type, default and what they mean."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
from ansible.module_utils.parsing.convert_bool import boolean
from msgspec.structs import FieldInfo, fields

from stackhand.cli.failure import ExitCode, Failure

FORMER = frozenset({"environment", "images", "infrastructure", "preflight", "release", "stack", "verification"})
"""What the names of options began with, each with that of its role; `stack` still has its own."""
WANTED = {bool: "true or false", float: "a number", int: "a whole number", str: "a text"}
Kind = TypeVar("Kind", bound=msgspec.Struct)


class Options(msgspec.Struct, kw_only=True):
    """What a step can be given; nothing, unless it declares more.

    A field without a default comes from the task or from an earlier step, and only `environment` from the user.
    """


def convert(kind: type[Kind], given: Mapping[str, Any], step: str, prefix: str) -> Kind:
    """Return a step's options from what its task and the variables give.

    Args:
        kind: the struct that declares them.
        given: the values by the fields' names.
        step: its name.
        prefix: what stands before an option's name where it is a variable.

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


def check(given: Mapping[str, Any], steps: Iterable[tuple[str, type[Options]]]) -> None:
    """Refuse what somebody gives a playbook, before its first step, when no step takes it or its type is wrong.

    Args:
        given: the extra variables.
        steps: prefix and options of each step of the playbook.

    Raises:
        Failure: it is unknown, or of the wrong type.
    """
    known = {
        f"{prefix}_{field.name}": field
        for prefix, kind in steps
        for field in fields(kind)
        if not field.required or field.name == "environment"
    }
    for name, value in given.items():
        if name in known:
            if not _is_template(value):
                _converted(known[name], value, name)
        elif name.partition("_")[0] in FORMER | {prefix for prefix, _ in steps}:
            raise _wrong(
                f"This playbook has no option {name}.",
                f"its options: {', '.join(sorted(known)) or 'none'}",
                _meant(name, known),
            )


def _is_template(value: Any) -> bool:
    """Whether Ansible evaluates a value before a step gets it."""
    return isinstance(value, str) and "{{" in value


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
