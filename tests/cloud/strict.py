"""What AWS refuses and boto3 sends all the same: values that are no member of an enum, and wrong forms and lengths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from botocore.model import Shape
from botocore.validate import ParamValidator


def problems(value: Any, shape: Shape, at: str) -> Iterator[str]:
    """Return what in a request does not fit AWS's model of it."""
    if shape.type_name == "structure":
        for key, each in value.items():
            yield from problems(each, shape.members[key], f"{at}.{key}") if key in shape.members else [f"{at}.{key}"]
    elif shape.type_name == "list":
        yield from _sized(len(value), shape, at)
        for number, each in enumerate(value):
            yield from problems(each, shape.member, f"{at}[{number}]")
    elif shape.type_name == "map":
        for key, each in value.items():
            yield from problems(each, shape.value, f"{at}.{key}")
    elif shape.type_name == "string":
        yield from _text(str(value), shape, at)
    elif shape.type_name in {"integer", "long"}:
        yield from _sized(value, shape, at)


def _text(value: str, shape: Any, at: str) -> Iterator[str]:
    yield from _sized(len(value), shape, at)
    if shape.enum and value not in shape.enum:
        yield f"{at} is none of {', '.join(shape.enum)}: {value}"
    with suppress(re.error):  # some are not of Python's kind
        if (pattern := shape.metadata.get("pattern")) and not re.search(f"^(?:{pattern})$", value):
            yield f"{at} does not have the form {pattern}: {value}"


def _sized(size: int, shape: Shape, at: str) -> Iterator[str]:
    limits: Mapping[str, int] = shape.metadata
    if not limits.get("min", size) <= size <= limits.get("max", size):
        yield f"{at} has {size}, not {limits.get('min', 0)} to {limits.get('max', 'any')}"


class Strict(ParamValidator):  # type: ignore[misc]
    """boto3's own validation, and AWS's."""

    def validate(self, params: Any, shape: Shape) -> Any:
        found = super().validate(params, shape)
        wrong = [] if found.has_errors() else [*problems(params, shape, shape.name)]
        assert not wrong, wrong
        return found
