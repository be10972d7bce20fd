"""Fill in `${VARIABLE}` as Compose does (https://docs.docker.com/reference/compose-file/interpolation/)."""

from __future__ import annotations

import re
from collections.abc import Mapping

OPENING = re.compile(r"\$(?:(?P<escaped>\$)|(?P<name>[A-Za-z_]\w*)|\{(?P<braced>[A-Za-z_]\w*))?")
OPERATOR = re.compile(r":?[-?+]")


class InterpolationError(ValueError):
    """A `$` that is no variable, or a variable that `${NAME:?message}` requires and nothing sets."""


def fill(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with its variables filled in; one that is not set is empty, as in Compose.

    Raises:
        InterpolationError: with a sentence on what cannot be filled in.
    """
    parts = []
    position = 0
    while found := OPENING.search(text, position):
        parts.append(text[position : found.start()])
        position = found.end()
        if found["escaped"]:
            parts.append("$")
        elif found["name"]:
            parts.append(variables.get(found["name"], ""))
        elif found["braced"]:
            closing = _closing(text, position)
            parts.append(_braced(found["braced"], text[position:closing], variables))
            position = closing + 1
        else:
            raise InterpolationError(f"{text!r} has a $ without a variable name; write $$ for a dollar sign")
    return "".join([*parts, text[position:]])


def _closing(text: str, position: int) -> int:
    depth = 1
    while position < len(text):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
        position += 1
    raise InterpolationError(f"{text!r} has a ${{ without }}")


def _braced(name: str, rest: str, variables: Mapping[str, str]) -> str:
    value = variables.get(name)
    if not rest:
        return value or ""
    operator = OPERATOR.match(rest)
    if operator is None:
        raise InterpolationError(f"${{{name}{rest}}} is not a variable; use ${{{name}:-default}}")
    word = rest[operator.end() :]
    present = bool(value) if operator[0].startswith(":") else value is not None
    match operator[0][-1]:
        case "-":
            return value or "" if present else fill(word, variables)
        case "+":
            return fill(word, variables) if present else ""
        case _:
            if not present:
                raise InterpolationError(f"{name} is not set: {fill(word, variables) or 'a value is required'}")
            return value or ""
