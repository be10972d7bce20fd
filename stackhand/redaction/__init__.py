"""Known secrets are redacted in whatever leaves the process or is kept for others, in any usual encoding.

By value: all that the checkout has and had. By name and form: what stands behind `PASSWORD=`, in a URL or a header,
and tokens that say what they are.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stackhand.cli.failure import Failure
from stackhand.project import passthrough
from stackhand.redaction import known, patterns
from stackhand.redaction.decoding import View, views
from stackhand.redaction.former import Former
from stackhand.redaction.known import Known
from stackhand.system.roots import PROJECT

BY_VALUE, BY_NAME = 0, 1
REACH = 256
"""Characters around an escape that are looked at together with it, at least."""
Span = tuple[int, int, int, str]
"""Begin, end, how it was found, and the secret's name."""


class Redactor:
    """Replaces secrets by their names.

    Args:
        secrets: those that are known.
        former: those that were; None: they are not looked for.
    """

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
        """Return JSON's data with all its texts redacted.

        Args:
            value: the data.
            name: the key that it stands behind.
            names: whether names and fingerprints count.
        """
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
