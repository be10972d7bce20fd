"""The text of files of variables, such as `.env`: searched and written; `envfile.py` reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

PLAIN = re.compile(r"[ \t]*(?:#.*|(?:export[ \t]+)?([A-Za-z_]\w*)=([\w./:@%+,=-]*|'[^'\\\r\n]*'))?[ \t]*\r?", re.ASCII)
"""A line without anything to interpret: nothing in it is special, or all of it is in single quotes."""
ENTRY = re.compile(
    r"""^[ \t]*(?:\#[^\n]*|(?P<head>(?:export[ \t]+)?(?P<key>[A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*)
    (?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^\n]*?)(?=[ \t]\#|[ \t\r]*$))[^\n]*$)""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
"""A comment, or a setting with the whole of its value, of which quotes may make several lines."""


@dataclass(frozen=True)
class Problem:
    """A line that cannot be read: its number (from 1), its key where known, and what is wrong with it."""

    line: int
    key: str
    message: str
    is_expansion: bool = False
    """Whether Compose reads the line all the same, without a variable that nothing sets."""


def search(text: str) -> tuple[dict[str, str], list[Problem]]:
    """Return every setting that a text seems to have, its value as it is written, and the lines that are none.

    This is a search and no reading, for what has to work without Compose and with files that it rejects.
    """
    values = {}
    for entry in ENTRY.finditer(text):
        if entry["key"]:
            values[entry["key"]] = next(entry[each] for each in ("single", "double", "bare") if entry[each] is not None)
    rest = ENTRY.sub(lambda entry: "\n" * entry[0].count("\n"), text.removeprefix("\ufeff"))
    stray = [(number, line.strip()) for number, line in enumerate(rest.split("\n"), 1) if line.strip()]
    return values, [
        Problem(number, line.partition("=")[0][:40], "is not a line of the form KEY=value") for number, line in stray
    ]


def quote(value: str) -> str:
    """Return `value` as it has to stand behind `KEY=` to be read back unchanged."""
    if re.fullmatch(r"[A-Za-z0-9_./:@%+,=-]*", value):
        return value
    if "'" not in value and "\\" not in value and "\r" not in value:
        return f"'{value}'"
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return f'"{value}"'


def replace(text: str, changes: Mapping[str, str]) -> str:
    """Return the file's text with the values of `changes` in place of the old ones, all else untouched."""
    return ENTRY.sub(partial(_replaced, {key: quote(value) for key, value in changes.items()}), text)


def _replaced(quoted: Mapping[str, str], entry: re.Match[str]) -> str:
    if entry["key"] not in quoted:
        return entry[0]
    return entry[0][: entry.end("head") - entry.start()] + quoted[entry["key"]]


def plain(text: str) -> dict[str, str] | None:
    """Return the values of a file in which nothing has to be interpreted."""
    values = {}
    for line in text.split("\n"):
        match = PLAIN.fullmatch(line)
        if match is None:
            return None
        if match[1]:
            values[match[1]] = match[2].strip("'")
    return values
