"""Files of variables, such as `.env`, as text: searched, read and written; `envfile.py` reads their values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import ownership

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


def present(path: Path) -> bool:
    """Whether there is a `.env`; one that may not be read is one.

    Raises:
        Failure: it is a link to what is not there, or to where this account may not look.
    """
    try:
        path.stat()
    except PermissionError as error:
        raise ownership.refused(error) from error
    except OSError as error:
        if not path.is_symlink():
            return False
        target = os.path.realpath(path)
        raise Failure(
            f".env is a link to {target}, which does not exist.",
            evidence=[f"{target}: {error.strerror}"],
            next=f"restore {target}, or remove the link: rm .env",
            code=ExitCode.PREFLIGHT,
        ) from error
    return True


def read_text(path: Path) -> str:
    """Return the text of a `.env`.

    Raises:
        Failure: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except PermissionError as error:
        raise ownership.refused(error) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(
            f".env cannot be read: {error}.",
            next="fix it, then repeat the command",
            code=ExitCode.PREFLIGHT,
        ) from error


def write_text(path: Path, text: str) -> None:
    """Replace the file at once; a new one is readable by its owner only, whatever the umask.

    An old one keeps its owner and mode, and a link stays one: what it leads to is replaced.

    Raises:
        Failure: it cannot be written.
    """
    file_path = Path(os.path.realpath(path))
    draft = file_path.with_name(f".env.{os.getpid()}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _keep_access(file.fileno(), file_path, path.parent)
            file.write(text)
        draft.replace(file_path)
    except PermissionError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise ownership.closed(file_path.parent) from error
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Failure(
            f".env cannot be written in {file_path.parent}: {error.strerror}.",
            next=f"make {file_path.parent} writable for {ownership.account()}, then repeat the command",
            code=ExitCode.PREFLIGHT,
        ) from error


def _keep_access(draft: int, old: Path, root: Path) -> None:
    """Give a draft the owner and the mode of the file it replaces; a new file belongs to whom the checkout does."""
    try:
        status = old.stat()
        os.fchmod(draft, status.st_mode & 0o777)
    except FileNotFoundError:
        status = root.stat()
    with suppress(OSError):  # a container's root may lack CAP_CHOWN, and then the file is root's
        if os.getuid() == 0:
            os.fchown(draft, status.st_uid, status.st_gid)
