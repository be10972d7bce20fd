"""The secrets that this checkout had before: of each a fingerprint, by which logs are searched for it.

Of a password that somebody may guess it has 16 bits: too few to try guesses against it, and enough to find it in a log
(docs/decisions/045-redaction.md).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import msgspec

from stackhand.project import ownership

FILE = "secrets.json"
KEY = "key"
DIGITS, DIGITS_OF_STRONG = 4, 16
"""Of a fingerprint, in hex. Nobody guesses what is strong, so that its fingerprint may be one of nothing else."""
STRONG = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d).{20,}", re.DOTALL)
KEPT = 64
"""Fingerprints; the newest."""
EDGE = re.compile(r"-[A-Za-z](?=\w)|[^A-Za-z0-9]")
"""Where a word begins or ends; also behind a flag of one letter, as in `mysql -pPASSWORD`."""


class Fingerprint(msgspec.Struct, frozen=True):
    """What is kept of a secret.

    Args:
        name: its name.
        length: its characters.
        blank: whether there is white space in it.
        digest: keyed with what only this checkout has.
    """

    name: str
    length: int
    blank: bool
    digest: str


class FormerSecrets(msgspec.Struct, frozen=True):
    """What is in the file: fingerprints, and by which key they were made, for somebody may remove that."""

    key: str
    seen: list[Fingerprint]


class Former:
    """The fingerprints of a checkout.

    Args:
        root: the checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / ".stackhand"
        self.key = b""
        self.seen: list[Fingerprint] = []
        with suppress(OSError, ValueError, msgspec.MsgspecError):
            self.key = (self.folder / KEY).read_bytes()[:64]
            kept = msgspec.json.decode((self.folder / FILE).read_bytes(), type=FormerSecrets)
            self.seen = kept.seen if kept.key == self._digest("") else []

    def of(self, name: str, value: str) -> Fingerprint:
        """Return the fingerprint of a secret."""
        digits = DIGITS_OF_STRONG if STRONG.fullmatch(value) else DIGITS
        return Fingerprint(name, len(value), bool(re.search(r"\s", value)), self._digest(value)[:digits])

    def remember(self, values: Mapping[str, str]) -> None:
        """Keep the fingerprints of secrets that are in use, so that they are known when they are not any more."""
        self._make_key()
        known = {(each.length, each.digest) for each in self.seen}
        marks = (self.of(name, form) for value, name in values.items() for form in {value, value.replace(" ", "+")})
        if new := [each for each in marks if (each.length, each.digest) not in known]:
            self.seen = [*self.seen, *new][-KEPT:]
            self._write(self.folder / FILE, msgspec.json.encode(FormerSecrets(self._digest(""), self.seen)))

    def without(self, values: Mapping[str, str]) -> dict[tuple[int, bool], dict[str, str]]:
        """Return the names of those that are not among the present secrets, by length and blanks, then by digest."""
        forms = (form for value in values for form in (value, value.replace(" ", "+")))
        present = {self.of("", form) for form in forms} if self.key else set()
        marks: dict[tuple[int, bool], dict[str, str]] = defaultdict(dict)
        for each in self.seen:
            if Fingerprint("", each.length, each.blank, each.digest) not in present:
                marks[each.length, each.blank][each.digest] = f"former {each.name}"
        return marks

    def find(self, text: str, wanted: Mapping[tuple[int, bool], Mapping[str, str]]) -> Iterator[tuple[int, int, str]]:
        """Yield begin, end and name of what has the fingerprint of a former secret, and begins and ends as a word."""
        edges = {0, len(text), *(edge for edge_match in EDGE.finditer(text) for edge in edge_match.span())}
        for (length, blank), names in wanted.items():
            known: dict[str, str] = {}
            for start in edges & {edge - length for edge in edges}:
                window = text[start : start + length]
                if window not in known:
                    known[window] = self._name(window, names) if blank or window.split() == [window] else ""
                if known[window]:
                    yield start, start + length, known[window]

    def _name(self, window: str, names: Mapping[str, str]) -> str:
        digest = self._digest(window)
        return names.get(digest) or names.get(digest[:DIGITS], "")

    def _digest(self, value: str) -> str:
        return blake2b(
            value.encode("utf-8", "surrogatepass"), key=self.key, digest_size=DIGITS_OF_STRONG // 2
        ).hexdigest()

    def _make_key(self) -> None:
        path = self.folder / KEY
        if not self.key and not path.exists():
            self._write(path, os.urandom(32).hex().encode())
        self.key = self.key or path.read_bytes()[:64]

    def _write(self, path: Path, content: bytes) -> None:
        ownership.write(path, content)
        ownership.give(self.root, path)
