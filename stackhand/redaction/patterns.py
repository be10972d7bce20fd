"""Secrets that are known by where they stand or what they look like: behind a name, in a URL, a token's own form."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from stackhand.project import schema

HARMLESS = re.compile(
    "denied|empty|expired|false|generated|given|hidden|invalid|missing|no|none|null|off|on|redacted|"
    "required|true|unauthorized|unknown|unset|wrong|yes"
)
PLACEHOLDER = re.compile(r"<[^<>]* redacted>|\*+|\[?(?:FILTERED|REDACTED|MASKED)\]?|x{3,}", re.IGNORECASE)
REFERENCE = re.compile(r"\$\$?(?:\{\w+(?::?[?+-][^}]*)?\}?|[A-Za-z_]\w*)|\$\{\{.*|\{\{.*")
"""What stands for a value and is none: of Compose, a shell or a template."""
NAME = r"[A-Za-z_][\w.\-]{0,99}"
ASSIGNED = re.compile(
    rf"(?<![\w.\-$])(?<!\$\{{)-{{0,2}}(?P<name>{NAME})[\"']?[ \t]*(?:(?P<equals>:?=>?)|:)[ \t]*"
    r"(?:\"(?P<double>(?:[^\"\\\n]|\\.)*)\"|'(?P<single>(?:[^'\\\n]|\\.|'')*)'"
    r"|(?P<bare>(?(equals)[^\s\"'<>&;]+|[^\s\"'<>]+)))",
    re.DOTALL,
)
LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)=(?P<value>[^\s\"'].*)$", re.MULTILINE)
"""A variable as `env` and `.env` have it: the value goes on to the end of the line."""
QUOTED = re.compile(rf"(?P<quote>[\"'])(?P<name>{NAME})=(?P<value>(?:(?!(?P=quote))[^\\\n]|\\.)+)(?P=quote)")
FLAG = re.compile(rf"(?<![\w\-])--?(?P<name>{NAME})[\"']?,?\s+(?:-\s+)?[\"']?(?P<value>[^\s\"',<\-][^\s\"',<]*)")
DEFAULT = re.compile(r"\$\{(?P<name>\w+):?-(?P<value>[^${}]+)\}")
LOGIN = re.compile(r"://[^\s/?#:@\"'<>]*:(?P<value>[^\s/?#\"'<>]+)@")
SCHEME = r"(?:basic|bearer|negotiate|token)\s+"
HEADER = re.compile(
    r"\b(?P<name>(?:proxy-)?authorization)[\"']?\s*[:=]\s*+[\"']?+"
    rf"(?:{SCHEME}(?P<value>[^\s\"',<]+)|(?!{SCHEME})(?P<rest>[^\r\n\"'<]+))",
    re.IGNORECASE,
)
COOKIE = re.compile(r"\b(?P<name>(?:set-)?cookie)[\"']?\s*:\s*[\"']?(?P<value>[^\r\n\"'<]+)", re.IGNORECASE)
SQL = re.compile(r"\b(?P<name>PASSWORD|IDENTIFIED BY)\s+E?'(?P<value>(?:[^'\n]|'')+)'", re.IGNORECASE)
BEARER = re.compile(r"\b(?P<name>bearer|basic)\s+(?P<value>[A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
KEY = "[A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----"
FORMS = (
    ("private key", rf"-----BEGIN {KEY}(?:[\s\S]*?-----END {KEY}|(?:[A-Za-z0-9+/=\s]|\\[nr])*)", "PRIVATE KEY"),
    ("private key", rf"(?<![\w+/=])(?:[\w+/=]{{16,}}(?:\s|\\[nr])+){{1,120}}-----END {KEY}", "PRIVATE KEY"),
    ("AWS access key", r"\bAKIA[A-Z0-9]{16}\b", "AKIA"),
    ("AWS access key", r"\bASIA[A-Z0-9]{16}\b", "ASIA"),
    ("JWT", r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", "eyJ"),
    ("GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{20,}", "gh"),
    ("GitHub token", r"\bgithub_pat_\w{20,}", "github_pat_"),
    ("GitLab token", r"\bglpat-[\w-]{16,}", "glpat-"),
    ("Slack token", r"\bxox[a-z]-[\w-]{10,}", "xox"),
    ("Stripe key", r"\b[rs]k_(?:live|test)_\w{10,}", "k_"),
    ("Stripe secret", r"\bwhsec_\w{10,}", "whsec_"),
    ("Google key", r"\bAIza[\w-]{35}", "AIza"),
    ("API key", r"\bsk-[\w-]{20,}", "sk-"),
    ("SendGrid key", r"\bSG\.[\w-]{16,}\.[\w-]{16,}", "SG."),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}", "npm_"),
)
"""What each is, its form, and what a text that has one has in it."""
BY_FORM = tuple((name, re.compile(form), hint) for name, form, hint in FORMS)
HINT = "pass|pwd|secret|token|key|cred|dsn|auth|cookie|sig|identified|bearer|basic|://"


is_secret = schema.is_secret


def looks_random(text: str) -> bool:
    """Whether a word is none of a language."""
    return len(text) > 5 and bool(re.search(r"\d|[_+/=!@#$%^*~]|[a-z][A-Z]", text))  # noqa: PLR2004 - a short word


class Patterns:
    """What finds secrets by name and form: behind the names that say so themselves, and some others."""

    def __init__(self, names: Collection[str] = ()) -> None:
        self.names = frozenset(names)
        others = sorted(re.escape(name) for name in names if not is_secret(name))
        self.hint = re.compile("|".join([HINT, *others]), re.IGNORECASE)

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield begin, end and name of each secret in a text."""
        position = 0
        while hint := self.hint.search(text, position):
            start = text.rfind("\n", position, hint.start()) + 1 or position
            position = _end_of_line(text, hint.end())
            yield from self._in_line(text, start, position, _end_of_line(text, position + 1))
        yield from forms(text)

    def _in_line(self, text: str, start: int, end: int, following: int) -> Iterator[tuple[int, int, str]]:
        for match in ASSIGNED.finditer(text, start, end):
            if self._is_secret(match["name"]):
                yield from _assigned(text, match)
        for pattern in (LINE, QUOTED, FLAG, DEFAULT):
            for match in pattern.finditer(text, start, following if pattern is FLAG else end):
                if self._is_secret(match["name"]) and _is_value(match["value"]):
                    yield (*match.span("value"), match["name"])
        for pattern, name in ((LOGIN, "password"), (HEADER, ""), (COOKIE, ""), (SQL, "password"), (BEARER, "")):
            for match in pattern.finditer(text, start, end):
                group = "value" if match["value"] else "rest"
                if _is_value(match[group]) and (pattern is not BEARER or looks_random(match["value"])):
                    yield (*match.span(group), name or match["name"])

    def _is_secret(self, name: str) -> bool:
        return name in self.names or is_secret(name)


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def forms(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield begin, end and kind of what is a secret by its form, whatever stands before it."""
    for name, pattern, hint in BY_FORM:
        if hint in text:
            yield from ((*match.span(), name) for match in pattern.finditer(text))


def _assigned(text: str, match: re.Match[str]) -> Iterator[tuple[int, int, str]]:
    """Yield the value behind a name that says that it is a secret, unless a sentence goes on there."""
    group = next(each for each in ("double", "single", "bare") if match[each] is not None)
    start, end = match.span(group)
    value = match[group]
    if group == "bare":
        value = value.rstrip(",;)]}.")
        end = start + len(value)
        rest = text[end : _end_of_line(text, end)].strip()
        if not match["equals"] and rest and rest[0] not in ",;)]}|" and not looks_random(value):
            return
    if default := DEFAULT.fullmatch(value):
        yield start + default.start("value"), start + default.end("value"), match["name"]
    elif _is_value(value):
        yield start, end, match["name"]


def _is_value(value: str) -> bool:
    value = value.strip()
    known = HARMLESS.fullmatch(value.lower()) or PLACEHOLDER.fullmatch(value) or REFERENCE.fullmatch(value)
    return bool(value) and not known
