"""All secrets that this checkout has now, by value: of .env, the shell, the Compose files and what they name."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from stackhand.cli.failure import Failure
from stackhand.project import dotenv, passthrough, schema
from stackhand.project.compose import envfile
from stackhand.project.schema import Setting
from stackhand.project.values import SHORTEST_SECRET, may_be_shown
from stackhand.redaction import patterns

SHORTEST = 6
"""Characters of what is looked for by its value: shorter ones are a part of other words."""
SHORTEST_NUMBER = 8
"""Digits: shorter ones are a part of times and ports."""
SHORTEST_LINE = 16
"""Characters of a line of a longer secret, such as a key, that says enough alone."""
LONGEST_REMEMBERED = 128
LARGEST_FILE = 1 << 16
COMMON = re.compile(
    "compose|database|default|development|docker|embedded|health|localhost|password|postgres|postgresql|"
    "production|public|redis|secret|services?|stackhand|staging|status|valkey"
)
"""Words that logs are full of."""
PATTERNS = patterns.Patterns()
NAMING = re.compile(r"(?:^|_)(?:user|username|db|database|name)$", re.IGNORECASE)
"""How the name of a variable ends whose value is no secret."""
PLAIN = re.compile(r"[a-z][a-z_-]*")
COMMENTED = re.compile(r"^[ \t]*#[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=(\S+)", re.MULTILINE)
"""A setting of before, as people leave it above the new one."""
OF_A_PERSON = {"HOME", "HOSTNAME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TERM", "TMPDIR", "TZ", "UID", "USER"}


@dataclass
class Known:
    """Secrets.

    Args:
        values: what is looked for wherever it stands, each with its name.
        names: of all of them, also of those that are looked for only behind their name.
        weak: the names of those, too short or too common.
        common: words that are no secrets, so that a secret that is one of them is weak.
        foreign: the values that only the shell has, and that no file of the checkout names.
    """

    values: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    weak: set[str] = field(default_factory=set)
    common: set[str] = field(default_factory=set)
    foreign: set[str] = field(default_factory=set)

    def lasting(self) -> dict[str, str]:
        """Return what the logs of services may have later on: not what is the shell's own, nor long keys and tokens."""
        keys = [value for value in self.values if "\n" in value]
        return {
            value: name
            for value, name in self.values.items()
            if len(value) <= LONGEST_REMEMBERED and value not in self.foreign and not any(value in key for key in keys)
        }

    def add(self, name: str, value: str, *, named: bool = False) -> None:
        """Add a secret, the password in it when it is a URL, and its lines when it has several.

        It is `named` where whatever stands behind its name is a secret.
        """
        value = value.strip()
        if not value or patterns.PLACEHOLDER.fullmatch(value) or patterns.REFERENCE.fullmatch(value):
            return
        if named:
            self.names.add(name)
        if self._is_weak(value):
            self.weak.add(name)
            return
        lines = (line.strip() for line in value.splitlines() if not line.startswith("-----"))
        for each in (value, *_passwords(value), *(line for line in lines if len(line) >= SHORTEST_LINE)):
            if not self._is_weak(each):
                self.values.setdefault(each, name)

    def _is_weak(self, value: str) -> bool:
        short = len(value) < (SHORTEST_NUMBER if value.isdecimal() else SHORTEST)
        return bool(short or COMMON.fullmatch(value.lower()) or value in self.common)


def of(root: Path, *, doubtful: bool = False) -> Known:
    """Return the secrets of a checkout; a file that cannot be read has none.

    Args:
        root: the checkout.
        doubtful: whether a setting that nobody has declared is one, whatever its name.
    """
    known = Known()
    nodes = [node for path in sorted(root.glob(passthrough.FILES)) for node in _nodes(_read(path))]
    known.common.update(_names_of_services(nodes))
    known.common.update(_names_shown(nodes, {**envfile.read(_read(root / ".env"), root)[0], **os.environ}))
    variables = _of_settings(root, known, doubtful=doubtful)
    for node in nodes:
        for name, value in _of_compose(root, node, {**variables, **os.environ}):
            known.add(name, value)
    for name, value in _of_running(root / ".stackhand" / "services"):
        known.add(name, value)
    own = set(known.values)
    for name, value in os.environ.items():
        if patterns.is_secret(name) and len(value) >= SHORTEST_SECRET:
            known.add(name, value)
    known.foreign = known.values.keys() - own
    return known


def _of_settings(root: Path, known: Known, *, doubtful: bool) -> dict[str, str]:
    """Add the secrets of `.env` and of what the shell has in its place, and return all of its values."""
    text = _read(root / ".env")
    values, _ = envfile.read(text, root)
    written, problems = dotenv.search(text)
    entries = _entries(root / ".env.example")
    foreign = passthrough.names(root) - OF_A_PERSON if doubtful else frozenset()
    for key in sorted({*values, *entries, *foreign}):
        for value in filter(None, {values.get(key, ""), written.get(key, ""), os.environ.get(key, "")}):
            if _is_secret(key, value, entries, doubtful=doubtful):
                known.add(key, value, named=True)
            elif key in entries and not patterns.looks_random(value):
                known.common.add(value)
    for problem in problems:  # a line that is no setting may be what belongs to the one above it
        line = text.split("\n")[problem.line - 1].strip()
        name, value = (problem.key, line.partition("=")[2]) if "=" in line else (f"line {problem.line} of .env", line)
        if patterns.is_secret(name) or patterns.looks_random(value):
            known.add(name, value)
            known.add(name, value[:40])  # as dotenv names it
    for name, value in COMMENTED.findall(text):
        if patterns.is_secret(name):
            known.add(f"former {name}", value)
    return values


def _entries(example: Path) -> dict[str, Setting]:
    with suppress(OSError, ValueError, Failure):
        return schema.read(example)
    return {}


def _is_secret(key: str, value: str, entries: Mapping[str, Setting], *, doubtful: bool) -> bool:
    if key in entries:
        return not may_be_shown(entries[key].kind, value)
    if patterns.is_secret(key) or not may_be_shown("", value):
        return True
    return doubtful and len(value) >= SHORTEST_SECRET and not key.startswith("COMPOSE_")


def _nodes(text: str) -> list[yaml.Node]:
    with suppress(yaml.YAMLError):
        return [node for node in yaml.compose_all(text, Loader=yaml.CSafeLoader) if node]
    return []


def _names_of_services(nodes: Collection[yaml.Node]) -> Iterator[str]:
    for key, value in (pair for node in nodes for pair in _items(node)):
        if key == "services":
            for name, _ in _items(value):
                yield from {
                    name,
                    *re.split(r"[-_.]", name),
                }  # else `airflow-init` is not to be read of a user `airflow`


def _names_shown(nodes: Collection[yaml.Node], variables: Mapping[str, str]) -> Iterator[str]:
    """Yield the plain words that name an account or a database: of the stacks of laptops, often the password too."""
    for name, text in (pair for node in nodes for pair in _scalars(node)):
        value = passthrough.expanded(text, variables)
        if NAMING.search(name) and PLAIN.fullmatch(value):
            yield value


def _of_compose(root: Path, top: yaml.Node, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the secrets that a Compose file has in it, or names the files or variables of."""
    for name, secret in (pair for key, node in _items(top) if key == "secrets" for pair in _items(node)):
        given = {key: passthrough.expanded(str(node.value), variables) for key, node in _items(secret)}
        yield name, variables.get(given.get("environment", ""), "")
        if "file" in given:
            yield name, _read(root / given["file"])
    for name, text in _scalars(top):
        value = passthrough.expanded(text, variables)
        if name in {"env_file", "path"}:
            pairs = envfile.read(_read(root / value), root)[0].items()
            yield from ((key, each) for key, each in pairs if patterns.is_secret(key) or not may_be_shown("", each))
        elif patterns.is_secret(name):
            yield name, value
        for start, end, kind in PATTERNS.find(value):
            yield name or kind, value[start:end]
        for match in patterns.DEFAULT.finditer(text):
            if patterns.is_secret(name) or patterns.is_secret(match["name"]):
                yield match["name"], match["value"]


def _scalars(top: yaml.Node) -> Iterator[tuple[str, str]]:
    """Yield all texts of a YAML document, each with the name it stands behind: a key, `KEY=` or a flag's."""
    nodes: list[tuple[str, yaml.Node]] = [("", top)]
    seen: set[int] = set()
    while nodes:
        name, node = nodes.pop()
        if isinstance(node, yaml.ScalarNode):
            key, equals, value = node.value.partition("=")
            yield (key, value) if equals and key.isidentifier() else (name, node.value)
        elif id(node) not in seen:
            seen.add(id(node))
            nodes += _items(node) if isinstance(node, yaml.MappingNode) else _named(name, node.value)


def _named(name: str, items: list[yaml.Node]) -> Iterator[tuple[str, yaml.Node]]:
    for before, node in zip([None, *items], items, strict=False):
        flag = before.value if isinstance(before, yaml.ScalarNode) else ""
        yield (flag.lstrip("-") if flag.startswith("-") else name), node


def _items(node: yaml.Node) -> list[tuple[str, yaml.Node]]:
    return [(str(key.value), value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []


def _of_running(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what the embedded engine's services were started with: .env may have changed since."""
    paths: list[Path] = []
    with suppress(PermissionError):  # another account's
        paths = sorted(folder.glob("*.json"))
    for path in paths:
        with suppress(ValueError, AttributeError):
            for name, value in json.loads(_read(path)).get("environment", {}).items():
                if patterns.is_secret(name):
                    yield name, str(value)


def _read(path: Path) -> str:
    with suppress(OSError, ValueError):  # a ValueError: a path with a NUL
        if path.is_file() and path.stat().st_size <= LARGEST_FILE:
            return path.read_text(encoding="utf-8", errors="replace")
    return ""


def _passwords(url: str) -> list[str]:
    """Return the password in a URL, as it stands there and as it is meant: a log may have it alone."""
    with suppress(ValueError):
        password = urlsplit(url).password or ""
        return [password, unquote(password)]
    return []
