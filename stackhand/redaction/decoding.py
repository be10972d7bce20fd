"""A text as it reads once encodings are taken off it, and where each part of that stands in the text itself.

Who looks for a secret looks for it in each view: then percent-encoded, quoted, escaped or base64 is all the same.
"""

from __future__ import annotations

import html
import re
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache, partial

DEPTH = 3
"""How many encodings may lie over each other: JSON in a URL in base64."""
MOST, MOST_MORE = 1 << 20, 40
"""Characters of all views together: so many, and so many times those of the text. Logs have five times as many."""
SHORTEST = 6
"""Characters; what is shorter is not looked for in binary encodings, where all text means something."""
PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
BACKSLASH = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\U000[0-9a-fA-F]{5}"
    r"|(?:\\x[0-9a-fA-F]{2})+|(?:\\[0-3][0-7]{2})+|\\(.)",
    re.DOTALL,
)
LETTER = re.compile(r"\\x([89a-fA-F][0-9a-fA-F])")
"""A letter of Latin-1, as YAML escapes it; two of them look like one of UTF-8."""
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "0": "\0", "\n": ""}
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,31});")
SHELL = re.compile(r"""'"'"'|'\\''""")
DOUBLED = (re.compile("''"), re.compile('""'), re.compile(r"\$\$"))
"""How YAML, CSV and Compose write a letter that would end something."""
BASE64 = re.compile(
    r"[A-Za-z0-9+/_-]{8,}(?:(?<=[A-Za-z0-9+/_-]{60})(?:\\r)?(?:\\n|\r?\n)[ \t]*[A-Za-z0-9+/_-]+)*={0,2}"
)
"""Also over several lines, as `base64` and MIME break them."""
BROKEN = re.compile(r"\\r|\\n|[\s=]")
HEX = re.compile(r"[0-9A-Fa-f]{12,}")
LATIN = {0xDC00 + byte: byte for byte in range(0x80, 0x100)}
READABLE = re.compile(rf"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]{{{SHORTEST},}}")
"""What is left of a text decoded from the wrong place is rarely that."""


Piece = tuple[int, int, int, bool]
"""Where it begins in a view, its begin and end in the other one, and whether it reads the same there."""


class View:
    """A text, and for each piece of it where that stands in another view; for none it stands for itself.

    Args:
        text: as it reads.
        pieces: of the text, in their order.
        of: the other view.
    """

    def __init__(self, text: str, pieces: list[Piece] | None = None, of: View | None = None) -> None:
        self.text, self.pieces, self.of = text, pieces or [], of

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a part of this text stands in the text that all views are of."""
        if self.of is None:
            return start, end
        first, last = self._piece(start), self._piece(end - 1)
        return self.of.span(self._within(first, start), self._within(last, end - 1, last=True))

    def _piece(self, position: int) -> int:
        return bisect_right(self.pieces, position, key=lambda piece: piece[0]) - 1

    def _within(self, number: int, position: int, *, last: bool = False) -> int:
        """Return a position in the other view: to the letter in a piece that reads the same, else the piece's edge."""
        at, start, end, same = self.pieces[number]
        if same:
            return start + position - at + last
        return end if last else start


def views(text: str, reach: int) -> Iterator[View]:
    """Yield a text as it is, and with up to DEPTH encodings taken off.

    Args:
        text: the text.
        reach: how many characters around what is encoded may belong to it; the rest is in the view before that.
    """
    layer, seen, room = [View(text)], {text}, MOST_MORE * len(text) + MOST
    for _ in range(DEPTH):
        yield from layer
        decoded = [made for view in layer for decode in DECODERS if (made := decode(view, reach))]
        layer = []
        for view in decoded:
            if view.text not in seen and room > 0:
                seen.add(view.text)
                layer.append(view)
                room -= len(view.text)
    yield from layer


def _replaced(pattern: re.Pattern[str], decode: Callable[[re.Match[str]], str], view: View, reach: int) -> View | None:
    """Return a view in which each match reads as what it stands for; None when there is none."""
    parts: list[str] = []
    pieces: list[Piece] = []
    length = position = 0

    def add(text: str, start: int, end: int, *, same: bool) -> None:
        nonlocal length
        pieces.append((length, start, end, same))
        parts.append(text)
        length += len(text)

    def keep(start: int, end: int) -> None:
        if end - start > 2 * reach:
            add(view.text[start : start + reach] + "\0", start, end, same=True)
            start = end - reach
        add(view.text[start:end], start, end, same=True)

    for matches in pattern.finditer(view.text):
        keep(position, matches.start())
        add(decode(matches), *matches.span(), same=False)
        position = matches.end()
    if not parts:
        return None
    keep(position, len(view.text))
    return View("".join(parts), pieces, view)


def _extracted(pattern: re.Pattern[str], decode: Callable[[str], str], view: View, _reach: int) -> View | None:
    """Return a view of what can be read in each match, and nothing else; None when there is nothing."""
    parts: list[str] = []
    pieces: list[Piece] = []
    length = 0
    for matches in pattern.finditer(view.text):
        if text := decode(matches[0]):
            pieces.append((length, *matches.span(), False))
            parts.append(text + "\0")
            length += len(text) + 1
    return View("".join(parts), pieces, view) if parts else None


def _text(content: bytes) -> str:
    """Return UTF-8 as text; a byte that is none is a letter of Latin-1, as in Python's and YAML's escapes."""
    return content.decode("utf-8", "surrogateescape").translate(LATIN)


def _percent(match: re.Match[str]) -> str:
    return _text(bytes.fromhex(match[0].replace("%", "")))


def _backslash(match: re.Match[str]) -> str:
    match match[0][1:2]:
        case "x" if len(match[0]) > 2:  # noqa: PLR2004 - more than the letter itself
            return _text(bytes.fromhex(match[0].replace("\\x", "")))
        case "u" | "U" if len(match[0]) > 2:  # noqa: PLR2004 - likewise
            codes = [int(each, 16) for each in re.split(r"\\[uU]", match[0])[1:]]
            high, low = [*codes, 0][:2]
            return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00) if low else chr(min(high, 0x10FFFF))
        case digit if digit in {"0", "1", "2", "3"} and len(match[0]) > 2:  # noqa: PLR2004 - likewise
            return _text(bytes(int(each, 8) for each in match[0].split("\\")[1:]))
    return ESCAPES.get(match[1], match[1])


@lru_cache(maxsize=1 << 14)
def _base64(run: str) -> str:
    """Return what can be read in a run of base64's letters, wherever in it that begins."""
    letters = BROKEN.sub("", run).replace("-", "+").replace("_", "/")
    tails = (letters[offset:] for offset in range(4))
    whole = (tail[: len(tail) - (len(tail) % 4 == 1)] for tail in tails)
    return _readable(b64decode(tail + "=" * (-len(tail) % 4)) for tail in whole)


@lru_cache(maxsize=1 << 14)
def _hex(run: str) -> str:
    return _readable(bytes.fromhex(run[offset : offset + (len(run) - offset) // 2 * 2]) for offset in range(2))


def _readable(decoded: Iterator[bytes]) -> str:
    return "\0".join(part for content in decoded for part in READABLE.findall(_text(content)))


DECODERS: tuple[Callable[[View, int], View | None], ...] = (
    partial(_replaced, PERCENT, _percent),
    partial(_replaced, BACKSLASH, _backslash),
    partial(_replaced, LETTER, lambda found: chr(int(found[1], 16))),
    partial(_replaced, ENTITY, lambda found: html.unescape(found[0])),
    partial(_replaced, SHELL, lambda _: "'"),
    *(partial(_replaced, each, lambda found: found[0][0]) for each in DOUBLED),
    partial(_extracted, BASE64, _base64),
    partial(_extracted, HEX, _hex),
)
