"""Read and write `.env` so that Compose and we see the same values, to the letter.

Compose has its own dialect of the format, and python-dotenv another: they differ on `$`, on `#` inside a word
and on backslashes (docs/decisions/004-dotenv.md). What Compose versions read differently is refused here with
the spelling that all of them agree on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

KEY = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
UNQUOTED = re.compile(r"[^\n]*")
SINGLE = re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL)
DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", '"': '"', "\\": "\\", "$": "$"}
IN_SINGLE_QUOTES = "write it in single quotes, KEY='value', where no character is special"


@dataclass(frozen=True)
class Problem:
    """A line that cannot be read: its number (from 1), its key where known, and what is wrong with it."""

    line: int
    key: str
    message: str


def parse(text: str) -> tuple[dict[str, str], list[Problem]]:
    """Return the values of a `.env` file, and every line that cannot be read.

    Args:
        text: the whole file.

    Returns:
        The values by key (the last one wins, as in Compose) and the problems, in the order of the file.
    """
    values: dict[str, str] = {}
    problems: list[Problem] = []
    text = text.removeprefix("\ufeff")
    position = 0
    while position < len(text):
        line = text.count("\n", 0, position) + 1
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        content = text[position:end].strip()
        if not content or content.startswith("#"):
            position = end + 1
            continue
        key = KEY.match(text, position)
        if key is None:
            problems.append(Problem(line, content.split("=")[0][:40], "is not a line of the form KEY=value"))
            position = end + 1
            continue
        try:
            values[key[1]], position = _value(text, key.end())
        except ValueError as error:
            problems.append(Problem(line, key[1], str(error)))
            position = end + 1
    return values, problems


def quote(value: str) -> str:
    """Return `value` as it has to stand behind `KEY=` to be read back unchanged."""
    if re.fullmatch(r"[A-Za-z0-9_./:@%+,=-]*", value):
        return value
    if "'" not in value and "\\" not in value and "\r" not in value:
        return f"'{value}'"
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\r", "\\r")):
        value = value.replace(plain, escaped)
    return f'"{value}"'


def replace(text: str, changes: dict[str, str]) -> str:
    """Return the file's text with the values of `changes` in place of the old ones, all else untouched."""
    for key, value in changes.items():
        line = re.compile(rf"^([ \t]*(?:export[ \t]+)?{key}[ \t]*=[ \t]*)[^\n]*$", re.MULTILINE)
        # a function, for in a replacement string backslashes would have a meaning
        text = line.sub(partial(_behind_key, quote(value)), text)
    return text


def _behind_key(value: str, match: re.Match[str]) -> str:
    return match[1] + value


def _value(text: str, start: int) -> tuple[str, int]:
    """Return the value that begins at `start`, and where the next line begins.

    Raises:
        ValueError: with a sentence, when Compose versions would not agree on the value.
    """
    opening = text[start : start + 1]
    if opening in {"'", '"'}:
        match = (SINGLE if opening == "'" else DOUBLE).match(text, start)
        if match is None:
            raise ValueError(f"has an opening {opening} without a closing one")
        after = UNQUOTED.match(text, match.end())
        if after and after[0].strip() and not after[0].strip().startswith("#"):
            raise ValueError(f"has text after the closing {opening}")
        value = match[1].replace("\\'", "'") if opening == "'" else _unescape(match[1])
        return value, (after.end() if after else match.end()) + 1
    match = UNQUOTED.match(text, start)
    raw = match[0] if match else ""
    value = re.split(r"[ \t]#", raw, maxsplit=1)[0].strip()
    if "#" in value:
        raise ValueError(f"has a # inside a word, which some Compose versions cut off; {IN_SINGLE_QUOTES}")
    if "$" in value:
        raise ValueError(f"has a $, which Compose would expand; {IN_SINGLE_QUOTES}")
    return value, start + len(raw) + 1


def _unescape(body: str) -> str:
    def plain(match: re.Match[str]) -> str:
        if match[0] == "$":
            raise ValueError(f"has a $ in double quotes, which Compose would expand; {IN_SINGLE_QUOTES}")
        return "$" if match[0] == "$$" else ESCAPES.get(match[1], match[0])

    return re.sub(r"\\(.)|\$\$|\$", plain, body, flags=re.DOTALL)
