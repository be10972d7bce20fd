"""The `validation` rules of terraform/variables.tf, checked without Terraform as far as they are simple.

A rule that says more than is understood here is left to `./inv plan`: it is never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stackhand.system.roots import CONTENT

FILE = CONTENT / "terraform" / "variables.tf"
BLOCK = re.compile(r'^variable "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
DEFAULT = re.compile(r"^  default\s+= (.+?)(?:\s+#.*)?$", re.MULTILINE)
RULE = re.compile(r'^    condition\s+= (.+)\n\s+error_message\s+= (".*")$', re.MULTILINE)
MATCHES = re.compile(r'can\(regex\(("(?:[^"\\]|\\.)*"), var\.(\w+)\)\)')
CONTAINS = re.compile(r"contains\((\[.*\]), var\.(\w+)\)")
COMPARED = re.compile(r'var\.(\w+) (==|!=|<=|>=) (null|true|false|-?\d+|"[^"]*")')
EQUAL = re.compile(r"\((.+?)\) == \((.+?)\)")


def violations(given: Mapping[str, Any], file: Path = FILE) -> Iterator[tuple[str, str]]:
    """Yield the variables whose values Terraform would refuse, each with the sentence of its rule.

    Args:
        given: the variables of an environment.
        file: that declares them.
    """
    blocks = BLOCK.findall(file.read_text(encoding="utf-8"))
    values = {name: _literal(match[1]) for name, body in blocks if (match := DEFAULT.search(body))} | dict(given)
    for name, body in blocks:
        for condition, message in RULE.findall(body):
            if holds(condition, values) is False:
                yield name, json.loads(message)


def holds(condition: str, values: Mapping[str, Any]) -> bool | None:
    """Return whether a condition holds; None where that is not known."""
    condition = condition.strip()
    for operator, decisive in (("||", True), ("&&", False)):
        if len(parts := _split(condition, operator)) > 1:
            results = [holds(each, values) for each in parts]
            return decisive if decisive in results else None if None in results else not decisive
    if match := EQUAL.fullmatch(condition):
        both = [holds(each, values) for each in match.groups()]
        return None if None in both else both[0] == both[1]
    if condition.startswith("!"):
        result = holds(condition[1:], values)
        return None if result is None else not result
    return _atom(condition, values)


def _atom(condition: str, values: Mapping[str, Any]) -> bool | None:
    if match := MATCHES.fullmatch(condition):
        value = values.get(match[2])
        return value is not None and re.search(json.loads(match[1]), str(value)) is not None
    if match := CONTAINS.fullmatch(condition):
        return values.get(match[2]) in json.loads(match[1])
    if match := COMPARED.fullmatch(condition):
        return _compared(values.get(match[1]), match[2], json.loads(match[3]))
    value = values.get(condition.removeprefix("var."))
    return value if isinstance(value, bool) else None


def _compared(value: Any, operator: str, literal: Any) -> bool | None:
    if operator in {"==", "!="}:
        return bool(value == literal) is (operator == "==")
    if not isinstance(value, int | float):
        return None
    return bool(value <= literal if operator == "<=" else value >= literal)


def _split(condition: str, operator: str) -> list[str]:
    """Return the parts of a condition between an operator that stands in no parentheses and no text."""
    parts, depth, quoted, start = [], 0, False, 0
    for position, letter in enumerate(condition):
        if letter == '"' and condition[position - 1] != "\\":
            quoted = not quoted
        elif not quoted:
            depth += (letter in "([") - (letter in ")]")
            if depth == 0 and condition.startswith(operator, position):
                parts.append(condition[start:position])
                start = position + len(operator)
    return [*parts, condition[start:]]


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # such as {} over several lines
        return None
