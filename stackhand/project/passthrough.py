"""The variables that a project's own files take from the shell: interpolated, or passed through by name alone.

https://docs.docker.com/reference/compose-file/services/#environment: a name without a value has that of the shell.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.project import dotenv
from stackhand.project.interpolation import InterpolationError, fill

if TYPE_CHECKING:
    import yaml

FILES = "*compose*.y*ml"
BY_NAME = ("environment", "args")
"""Keys of services, hooks, builds, secrets and configs whose entries may be a name alone."""
INTERPOLATED = re.compile(r"\$\{?([A-Za-z_]\w*)")
BARE = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*$", re.MULTILINE)
ASSIGNED = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)[ \t]*=", re.MULTILINE)
MERGE, NULL = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:null"


def names(root: Path) -> frozenset[str]:
    """Return the variables that the Compose files, their env_files and `.env.example` name.

    One too many does no harm. A file that cannot be read has none: whoever needs it reports what is wrong with it.
    """
    found = set(ASSIGNED.findall(_text(root / ".env.example")))
    for path in root.glob(FILES):
        text = _text(path)
        found.update(INTERPOLATED.findall(text))
        for key, node in _entries(text):
            if key in BY_NAME:
                found.update(_passed(node))
            elif key == "env_file":
                found.update(name for each in _paths(node) for name in _of_env_file(root, each))
    return frozenset(found)


def _of_env_file(root: Path, written: str) -> list[str]:
    """Return what an env_file takes from the shell; its path may have variables, of the shell and of `.env`."""
    try:
        path = fill(written, {**dotenv.parse(_text(root / ".env"))[0], **os.environ})
    except InterpolationError:
        return []
    text = _text(root / path)
    return [*INTERPOLATED.findall(text), *BARE.findall(text)]


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
    """Yield the paths of env_file: a text, a list of texts, or of mappings with a `path`."""
    if isinstance(node.value, str):
        yield node.value
    for each in node.value if isinstance(node.value, list) else []:
        if not isinstance(each, tuple):
            yield from _paths(each)
        elif each[0].value == "path":
            yield str(each[1].value)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # a ValueError: a path with a NUL
        return ""
