"""What people see: lines, a live view on a terminal, tables, and the one-paragraph failure.

Plain ASCII where the locale has nothing else, no colour where it is not wanted (NO_COLOR, TERM=dumb, a pipe).
"""

from __future__ import annotations

import json
import locale
import os
import re
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Literal

import msgspec

from stackhand.cli import streams
from stackhand.cli.failure import ExitCode, Failure
from stackhand.system.roots import COMMAND, PROJECT

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

WIDTH_OF_A_PIPE = 1000
GLYPHS = {"done": "✓", "same": "=", "note": "·", "warning": "!", "failed": "✗"}
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
CONTROLS = {code: rf"\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"}
"""Characters that a terminal obeys: a title, a cursor, an answer as if it was typed."""
INV = re.compile(r"(?<![\w./])\./inv(?![\w./-])")
"""The command, as the code writes it wherever it names one."""
ASCII = {"done": "ok", "same": "==", "note": "-", "warning": "??", "failed": "!!"}


def glyph(name: str) -> str:
    """Return a sign, in letters that the locale can show."""
    return (GLYPHS if has_unicode() else ASCII)[name]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def together(lines: Iterable[str]) -> list[str]:
    """Return lines of the form `subject: text`, with one for all subjects that have the same text: `api, web: text`."""
    subjects: dict[str, list[str]] = {}
    for line in lines:
        subject, colon, text = line.partition(": ")
        subjects.setdefault(colon + text, []).append(subject)
    return [f"{', '.join(dict.fromkeys(names))}{text}" for text, names in subjects.items()]


def rich_console(stream: IO[str]) -> RichConsole:
    """Return a rich console over a stream: it knows about width, terminals and TERM=dumb.

    With NO_COLOR rich would still write bold and faint; we write nothing but letters then. A pipe has no width.
    """
    from rich.console import Console

    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    width = None if stream.isatty() else WIDTH_OF_A_PIPE
    return Console(
        file=stream, highlight=False, markup=False, emoji=False, safe_box=True, color_system=colours, width=width
    )


def table(rows: Sequence[Sequence[str]], headings: Sequence[str], styles: Mapping[str, str], indent: int = 0) -> None:
    """Write a table on stdout, as wide as the terminal and no wider; the last column wraps.

    Args:
        rows: the cells, as many in each as there are headings.
        headings: the columns' names; all empty for a table without a head.
        styles: a colour by a cell's text.
        indent: spaces before each line.
    """
    cells = [[for_people(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty() and all(cell.isascii() and cell.isprintable() for row in cells for cell in row):
        _plain_table([list(headings), *cells] if any(headings) else cells, indent)  # half the time of a long `status`
        return

    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="dim", show_edge=False, show_header=any(headings))
    for number, heading in enumerate(headings, 1):
        shown.add_column(heading, overflow="fold", no_wrap=number < len(headings))
    for row, written in zip(rows, cells, strict=True):
        shown.add_row(*(Text(cell, style=styles.get(key, "")) for key, cell in zip(row, written, strict=True)))
    console = rich_console(sys.stdout)
    with console.capture() as drawn:
        console.print(Padding(shown, (0, 0, 0, indent), expand=False))
    for line in drawn.get().splitlines():
        print(line.rstrip())


def _plain_table(lines: Sequence[Sequence[str]], indent: int) -> None:
    """Write a table for a pipe, which has no width and no colours."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"{' ' * indent}{text}".rstrip())


def document(content: Mapping[str, Any] | msgspec.Struct, indent: int | None = 2) -> None:
    """Write one JSON document on stdout: all that a verb with --json says there; without `indent` on one line."""
    from stackhand import redaction

    print(as_json(redaction.current().data(msgspec.to_builtins(content)), indent), flush=True)


def as_json(content: Any, indent: int | None = None) -> str:
    """Return data as JSON without a character that a terminal obeys; JSON itself lets some of them be."""
    escaped = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}  # they can stand in a text only
    return json.dumps(_with_command(content), indent=indent, ensure_ascii=False).translate(escaped)


def write(text: str) -> None:
    """Write a sentence on stdout."""
    print(for_people(text), flush=True)


def show(text: str) -> None:
    """Write on stdout what somebody has asked to see as it is: a log, a value in the cache; a terminal obeys none."""
    print(visible(text) if sys.stdout.isatty() else text, flush=True)


def notify(text: str) -> None:
    """Write a sentence on stderr: what is no result of the verb."""
    streams.report(for_people(text))


def for_people(text: str) -> str:
    """Return a text as it is shown: without known secrets, and with nothing that a terminal obeys."""
    return with_command(visible(redacted(text)))


def with_command(text: str, command: str = COMMAND) -> str:
    """Return a text whose commands are those of this project: `./inv up`, or `stackhand up`."""
    return text if command == "./inv" else INV.sub(command, text)


def _with_command(content: Any) -> Any:
    """Return JSON's data, likewise."""
    match content:
        case str():
            return with_command(content)
        case Mapping():
            return {key: _with_command(each) for key, each in content.items()}
        case list() | tuple():
            return [_with_command(each) for each in content]
    return content


def visible(text: str) -> str:
    """Return a text with its control characters written out, but for tabs and line ends; its colours go."""
    return COLOUR.sub("", text.replace("\r\n", "\n")).translate(CONTROLS)


def redacted(text: str) -> str:
    """Return a text without the secrets that are known in this checkout."""
    from stackhand import redaction  # which reads YAML, and the verbs that only complete a word do not

    return redaction.current().text(text) if text.strip() else text


def readable(line: str) -> str:
    """Return a log line as people read it: a JSON object becomes its time, level, event and other fields."""
    if not line.startswith("{"):
        return line
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    if not isinstance(fields, dict) or "event" not in fields:
        return line
    head = [str(fields.pop(key)) for key in ("time", "level", "event") if key in fields]
    rest = [f"{key}={value}" for key, value in fields.items() if key not in {"exception", "stack"}]
    text = " ".join([*head, *rest])
    return "\n    ".join([text, *str(fields.get("exception", "")).splitlines()])


def has_unicode() -> bool:
    """Whether the locale that the user chose has more than ASCII; Python itself would pretend so."""
    chosen = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "")
    if chosen in {"", "C", "POSIX"}:
        return False
    return "utf" in chosen.lower() or "utf" in locale.getpreferredencoding(False).lower()


def ask(text: str) -> str:
    """Ask on stderr, for stdout may have JSON, and return what is typed; nothing where the input ends."""
    notify(text)
    try:
        return input().strip()
    except EOFError:
        return ""


def confirm(warning: str, name: str) -> None:
    """Let the user type a name before something is lost.

    Raises:
        Failure: it was not typed.
    """
    if not sys.stdin.isatty():
        raise Failure(f"{warning}.", next="repeat the command with --yes to confirm", code=ExitCode.USAGE)
    if ask(f"{warning}.\nType {name} to confirm:") != name:
        raise Failure("Cancelled: the name was not typed, and nothing was done.", code=ExitCode.FAILED)


def defect(doing: str, error: Exception) -> Failure:
    """Keep the traceback of an error that a verb or a step met, and return the failure that says where."""
    from stackhand import redaction  # which reads YAML, and there is rarely a defect
    from stackhand.project import ownership

    path = PROJECT / ".stackhand" / "logs" / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
    where = "the traceback could not be written"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        ownership.write(path, redaction.current().text("".join(traceback.format_exception(error))))
        where = f"traceback: {path.relative_to(PROJECT)}"
    except OSError:
        pass
    return Failure(
        f"This is a bug in Stackhand: {doing} raised {type(error).__name__}: {error}",
        evidence=[where],
        next="./inv support, and attach its bundle to an issue",
    )
