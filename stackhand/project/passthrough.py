"""The variables that a project's own files take from the shell: interpolated, or passed through by name alone.

https://docs.docker.com/reference/compose-file/services/#environment: a name without a value has that of the shell. This
is a search and no reading: it finds what Compose may want, before Compose is asked with it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.project import dotenv

if TYPE_CHECKING:
    import yaml

NAMING = ("COMPOSE_FILE", "COMPOSE_ENV_FILES", "COMPOSE_PATH_SEPARATOR")
FILES = "*compose*.y*ml"
BY_NAME = ("environment", "args")
"""Keys of services, hooks, builds, secrets and configs whose entries may be a name alone."""
VARIABLES_IN = ("env_file", "label_file")
COMPOSE_IN = ("include", "extends")
INTERPOLATED = re.compile(r"\$\{?([A-Za-z_]\w*)")
EXPANSION = re.compile(r"\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?::?-([^}]*))?[^}]*\})")
BARE = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*$", re.MULTILINE)
ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=", re.MULTILINE)
MERGE, NULL = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:null"
ESCAPE = re.compile(r"\\[xuU0-9]")


@dataclass
class Inputs:
    """What goes into the answer of Compose, as far as a search finds it."""

    names: set[str] = field(default_factory=set)  # of variables; one too many does no harm
    files: set[Path] = field(default_factory=set)  # that are read, whether they exist or not
    complete: bool = True
    """Whether that is all for sure: an `include` may be a repository, and a path may have a variable."""


def names(root: Path) -> frozenset[str]:
    """Return the variables that the Compose files, their env_files and `.env.example` name.

    A file that cannot be read has none: whoever needs it reports what is wrong with it.
    """
    return frozenset(search(root).names)


def search(root: Path) -> Inputs:
    """Search the Compose files of a project, and the files that they name."""
    settings = {**dotenv.search(content(root / ".env"))[0], **os.environ}
    inputs = Inputs(set(ASSIGNED.findall(content(root / ".env.example"))), {root / ".env"})
    for listed in settings.get("COMPOSE_ENV_FILES", "").split(","):
        _of_env_file(root / listed, inputs)
    named = settings.get("COMPOSE_FILE", "").split(settings.get("COMPOSE_PATH_SEPARATOR") or os.pathsep)
    inputs.complete &= "$" not in "".join(settings.get(each, "") for each in NAMING)
    waiting = [*root.glob(FILES), *(root / each for each in named if each)]
    for folder in {each.parent for each in waiting}:
        _of_env_file(folder / ".env", inputs)
    while waiting:
        path = waiting.pop()
        if path not in inputs.files:
            inputs.files.add(path)
            waiting += _of_compose(path, root, settings, inputs)
    return inputs


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its variables filled in, without regard for what Compose would refuse."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return variables.get(name) or match[3] or "" if name else "$"

    return EXPANSION.sub(value, text)


def _of_compose(path: Path, root: Path, settings: Mapping[str, str], inputs: Inputs) -> list[Path]:
    """Search a Compose file, and return the Compose files that it names."""
    text = content(path)
    inputs.names.update(INTERPOLATED.findall(text))
    inputs.complete &= not ESCAPE.search(text)  # by which a key could be written in another way
    more: list[Path] = []
    for key, node in _entries(text):
        if key in BY_NAME:
            inputs.names.update(_passed(node))
        elif key in VARIABLES_IN or key in COMPOSE_IN:
            for written in _paths(node):
                inputs.complete &= "$" not in written and "://" not in written and not written.startswith("git@")
                # relative to the file that names it, or to a project_directory
                for each in {folder / expanded(written, settings) for folder in (path.parent, root)}:
                    if key in COMPOSE_IN and each.suffix in {".yml", ".yaml"}:
                        more.append(each)
                        _of_env_file(each.parent / ".env", inputs)
                    else:
                        _of_env_file(each, inputs)
        elif key == "project_directory":
            inputs.complete = False
    return more


def _of_env_file(path: Path, inputs: Inputs) -> None:
    text = content(path)
    inputs.files.add(path)
    inputs.names |= {*INTERPOLATED.findall(text), *BARE.findall(text)}


def _entries(text: str) -> Iterator[tuple[str, yaml.Node]]:
    """Yield each key of each mapping of a YAML file with its value; an anchor's content comes once.

    Nodes, not values: they know of no tags (`!reset`), and an anchor within itself is no endless value.
    """
    import yaml  # 18 ms, for the verbs that need it

    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.CSafeLoader) if node]
    except yaml.YAMLError:
        return
    seen: set[int] = set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from ((str(key.value), value) for key, value in node.value)
            nodes += [value for _, value in node.value]
        else:
            nodes += node.value


def _passed(node: yaml.Node) -> Iterator[str]:
    """Yield the names without a value: `[NAME]`, `{NAME: null}`; and `NAME` itself, as secrets and configs have it."""
    if isinstance(node.value, str):
        yield node.value
    for each in node.value if isinstance(node.value, list) else []:
        if not isinstance(each, tuple):
            yield from _passed(each)
            continue
        key, value = each
        if key.tag == MERGE:
            yield from _passed(value)
        elif value.tag == NULL:
            yield str(key.value)


def _paths(node: yaml.Node) -> Iterator[str]:
    """Yield the paths of env_file, include and extends: a text, a list, or mappings with one of these keys."""
    if isinstance(node.value, str):
        yield node.value
    for each in node.value if isinstance(node.value, list) else []:
        if not isinstance(each, tuple):
            yield from _paths(each)
        elif each[0].value in {"path", "file", "env_file"}:
            yield from _paths(each[1])


def content(path: Path) -> str:
    """Return a file's text; nothing, when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # a ValueError: a path with a NUL
        return ""
