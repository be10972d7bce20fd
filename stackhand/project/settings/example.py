"""A `.env.example` without types, as most projects have it: copied, with a secret where its name asks for one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from stackhand.project.settings.secretnames import is_generated, is_secret

SECRET_BYTES = 24
"""As text that is 32 characters, which those that want a key of 32 bytes accept."""
EMPTY = re.compile(
    r"^(?P<key>[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)[ \t]*=)[ \t]*(?:\"\"|'')?[ \t]*(?:#[^\n]*)?$",
    re.MULTILINE,
)
"""A setting without a value; Compose would take a comment right behind the sign of equality for one."""
NAMED = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=", re.MULTILINE)


def names(path: Path) -> list[str]:
    """Return the settings that an example has; none where there is no such file."""
    try:
        return list(dict.fromkeys(NAMED.findall(path.read_text(encoding="utf-8", errors="replace"))))
    except OSError:
        return []


def filled(text: str) -> tuple[str, list[str]]:
    """Return the text that `.env` gets, and a sentence on each kind of secret that had no value.

    Args:
        text: the example.
    """
    generated = [name for name in _empty(text) if is_generated(name)]
    given = [name for name in _empty(text) if is_secret(name) and not is_generated(name)]
    notes = [
        ".env created from .env.example"
        + (f"; generated, as it has no value there: {', '.join(generated)}" * bool(generated))
    ]
    if given:
        notes.append(not_set(given))
    return EMPTY.sub(_with_secret, text), notes


def not_set(names: list[str]) -> str:
    """Return the sentence on secrets that nobody has given yet."""
    return f"not set, because only you know them: {', '.join(names)}; write them into .env"


def fresh() -> str:
    """Return a new secret."""
    return secrets.token_urlsafe(SECRET_BYTES)


def _empty(text: str) -> Iterator[str]:
    return (match["name"] for match in EMPTY.finditer(text))


def _with_secret(match: re.Match[str]) -> str:
    return f"{match['key']}{fresh()}" if is_generated(match["name"]) else match[0]
