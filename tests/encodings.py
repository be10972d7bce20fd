"""How a secret may be written down by whoever logs it."""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import yaml


def _lower(text: str) -> str:
    plain = (letter if letter.isascii() and letter.isalnum() else _percent(letter).lower() for letter in text)
    return "".join(plain)


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _basic(text: str) -> str:
    return base64.b64encode(f"user:{text}".encode()).decode()


def _within(text: str, before: int) -> bytes:
    return b"x" * before + text.encode() + b"yz" * before


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda text: quote(text, safe=""),
    "percent but slashes": quote,
    "form": quote_plus,
    "percent in small letters": _lower,
    "percent everything": _percent,
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": json.dumps,
    "json as it is": lambda text: json.dumps(text, ensure_ascii=False),
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "json in percent": lambda text: quote(json.dumps({"a": text})),
    "repr": repr,
    "repr of bytes": lambda text: repr(text.encode()),
    "shell": shlex.quote,
    "html": html.escape,
    "yaml": lambda text: yaml.safe_dump({"a": text}, width=1000),
    "yaml in single quotes": lambda text: "'" + text.replace("'", "''") + "'",
    "compose": lambda text: text.replace("$", "$$"),
    "hex": lambda text: text.encode().hex(),
    "basic": _basic,
    "base64 in lines": lambda text: base64.encodebytes(b"p" * 40 + text.encode() + b"q" * 40).decode(),
    "json in base64": lambda text: base64.b64encode(json.dumps({"a": text}).encode()).decode(),
    **{f"base64 behind {n}": lambda text, n=n: base64.b64encode(_within(text, n)).decode() for n in range(4)},
    **{
        f"base64url behind {n}": lambda text, n=n: base64.urlsafe_b64encode(_within(text, n)).decode() for n in range(4)
    },
}
"""By name: a function that writes a text so."""
AS_A_WORD = [name for name in ENCODINGS if " behind " not in name and name != "base64 in lines"]
"""Those in which no letters stand beside the text."""
