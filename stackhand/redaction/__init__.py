"""Known secrets are redacted in whatever leaves the process or is kept for others, in any usual encoding.

By value: all that the checkout has and, by fingerprints, what it had. By name and form: what stands behind
`PASSWORD=`, in a URL or a header, and tokens that say what they are (docs/decisions/045-redaction.md).
"""

from __future__ import annotations

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from stackhand.cli.failure import Failure
from stackhand.project import ownership, passthrough
from stackhand.redaction import known, patterns
from stackhand.redaction.decoding import View, views
from stackhand.redaction.known import Known
from stackhand.system.roots import PROJECT

BY_VALUE, BY_NAME = 0, 1
REACH = 256
"""Characters around an escape that are looked at together with it, at least."""
Span = tuple[int, int, int, str]
"""Begin, end, how it was found, and the secret's name."""
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
    """What is kept of a secret; `blank`: it has white space, and the digest is keyed with what this checkout has."""

    name: str
    length: int
    blank: bool
    digest: str


class FormerSecrets(msgspec.Struct, frozen=True):
    """What is in the file: fingerprints, and by which key they were made, for somebody may remove that."""

    key: str
    seen: list[Fingerprint]


class Former:
    """The secrets that a checkout had before: of each a fingerprint, by which logs are searched for it.

    Of a password that somebody may guess it has 16 bits: too few to try guesses against it, and enough to find it in a
    log.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / ".stackhand"
        self.key = b""
        self.seen: list[Fingerprint] = []
        with suppress(OSError, ValueError):
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
        seen = {(each.length, each.digest) for each in self.seen}
        marks = (self.of(name, form) for value, name in values.items() for form in {value, value.replace(" ", "+")})
        if new := [each for each in marks if (each.length, each.digest) not in seen]:
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
            found: dict[str, str] = {}
            for start in edges & {edge - length for edge in edges}:
                window = text[start : start + length]
                if window not in found:
                    found[window] = self._name(window, names) if blank or window.split() == [window] else ""
                if found[window]:
                    yield start, start + length, found[window]

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


class Redactor:
    """Replaces secrets by their names: those that are known and, if it is told of them, those that were."""

    def __init__(self, secrets: Known, former: Former | None = None) -> None:
        self.secrets, self.former = secrets, former
        self._wanted = former.without(secrets.values) if former else {}
        self._needles = [
            (form, name) for value, name in secrets.values.items() for form in {value, value.replace(" ", "+")}
        ]
        self._patterns = patterns.Patterns(secrets.names)
        self._reach = max([REACH, *map(len, secrets.values), *(length for length, _ in self._wanted)])

    @classmethod
    def of(cls, root: Path, *, doubtful: bool = False) -> Redactor:
        """Return that of a checkout; `doubtful` settings, which nobody has declared, are secrets as well."""
        return cls(known.of(root, doubtful=doubtful), Former(root))

    @property
    def weak(self) -> list[str]:
        """The names of the secrets that are found only behind their name, for they are too short or common."""
        return sorted(self.secrets.weak)

    def text(self, text: str) -> str:
        """Return a text with `<NAME redacted>` in the place of each secret; it has as many lines as before."""
        return _replaced(text, self._spans(text, names=True))

    def content(self, text: str) -> str:
        """Return a text in which no present value stands; names and fingerprints, which may be wrong, do not count."""
        return _replaced(text, self._spans(text, names=False))

    def data(self, value: Any, *, name: str = "", names: bool = True) -> Any:
        """Return JSON's data with all its texts redacted; without `names`, names and fingerprints do not count."""
        match value:
            case str() if names and value and (patterns.is_secret(name) or name in self.secrets.names):
                return _placeholder(name)
            case str():
                return self.text(value) if names else self.content(value)
            case Mapping():
                return {key: self.data(each, name=str(key), names=names) for key, each in value.items()}
            case list() | tuple():
                return [self.data(each, name=name, names=names) for each in value]
        return value

    def lines(self, lines: Sequence[str]) -> list[str]:
        """Return lines redacted together, for a secret may go over several."""
        ends = list(itertools.accumulate(each.count("\n") + 1 for each in lines))
        whole = self.text("\n".join(lines)).split("\n") if lines else []
        return ["\n".join(whole[start:end]) for start, end in itertools.pairwise([0, *ends])]

    def failure(self, failure: Failure) -> Failure:
        """Return a failure as it may be shown."""
        what, following = self.text(failure.what), self.text(failure.next)
        return Failure(what, evidence=self.lines(failure.evidence), next=following, code=failure.code)

    def _spans(self, text: str, *, names: bool) -> Iterator[Span]:
        for view in views(text, self._reach):
            yield from ((*view.span(start, end), BY_VALUE, name) for start, end, name in self._values(view))
            matches = self._patterns.find(view.text) if names else patterns.forms(view.text)
            yield from ((*view.span(start, end), BY_NAME, name) for start, end, name in matches)
            if names and self.former and self._wanted:
                former = self.former.find(view.text, self._wanted)
                yield from ((*view.span(start, end), BY_VALUE, name) for start, end, name in former)

    def _values(self, view: View) -> Iterator[tuple[int, int, str]]:
        for needle, name in self._needles:
            start = view.text.find(needle)
            while start >= 0:
                yield start, start + len(needle), name
                start = view.text.find(needle, start + 1)


def _replaced(text: str, spans: Iterator[Span]) -> str:
    """Return a text with what overlaps replaced together, under the name of the surest find."""
    parts: list[str] = []
    position = 0
    ordered = sorted(spans)
    while ordered:
        start, end, rank, name = ordered[0]
        count = 1
        while count < len(ordered) and ordered[count][0] < end:
            end = max(end, ordered[count][1])
            rank, name = min((rank, name), (ordered[count][2], ordered[count][3]), key=lambda each: each[0])
            count += 1
        newlines = "\n" * text.count("\n", start, end)
        parts += [text[position:start], _placeholder(name), newlines]
        position, ordered = end, ordered[count:]
    return "".join([*parts, text[position:]])


def _placeholder(name: str) -> str:
    return f"<{name.rpartition('.')[2] or name} redacted>"


_current: list[Any] = [None, None]


def current() -> Redactor:
    """Return that of this checkout, read again once its files have changed: `up` makes some of them."""
    stamps = _stamps()
    if _current[0] != stamps:
        _current[:] = stamps, Redactor.of(PROJECT)
    return _current[1]  # type: ignore[no-any-return]


def remember() -> None:
    """Keep the fingerprints of the secrets that services are about to be started with."""
    redactor = current()
    if redactor.former:
        with suppress(OSError):  # such as a disk that is full, which those who need it tell of
            redactor.former.remember(redactor.secrets.lasting())


def _stamps() -> list[tuple[str, int]]:
    files = [PROJECT / ".env", PROJECT / ".stackhand" / "secrets.json", *PROJECT.glob(passthrough.FILES)]
    return [(str(path), path.stat().st_mtime_ns) for path in files if os.access(path, os.F_OK)]
