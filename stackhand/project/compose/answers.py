"""Answers of Compose, kept in `.stackhand/resolved` while everything that went into them is the same.

What cannot be known for sure is not kept: an `include` of a repository, a path with a variable, a plugin in an unknown
folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from stackhand.project import passthrough, private
from stackhand.project.state import State

PLUGINS = (
    *("/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins"),
    *("/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"),
)
"""Where the docker command looks for its plugins, after the folder of its configuration."""
WITHOUT_EFFECT = ("LC_", "LANG", "TERM", "COLORTERM", "NO_COLOR")
"""How names begin of variables that differ between a shell and a playbook, and say nothing to Compose."""


class KeptAnswer(msgspec.Struct):
    """What is kept of one question, such as the services as they are written."""

    digest: str
    answer: Any


def identity(programs: Iterable[Path]) -> str:
    """Return what changes when one of these files is replaced."""
    parts = []
    for path in programs:
        with suppress(OSError):
            status = path.resolve().stat()
            parts.append(f"{path}:{status.st_size}:{status.st_mtime_ns}:{status.st_ino}")
    return " ".join(parts)


def plugin() -> str:
    """Return the identity of the docker command with its Compose plugin; nothing, where that is not to be found."""
    digest = identity(_plugins())
    docker = shutil.which("docker")
    return f"{identity([Path(docker)])} {digest}" if docker and digest else ""


def plugin_program() -> Path | None:
    """Return the Compose plugin that the docker command starts; None, where it is not to be found."""
    return next((each for each in _plugins() if os.access(each, os.X_OK)), None)


def _plugins() -> list[Path]:
    """Return where the docker command looks for its Compose plugin, in its order."""
    configured = Path(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"))  # noqa: PTH111 - Path raises where there is no home
    folders = [configured / "cli-plugins", *map(Path, PLUGINS)]
    with suppress(OSError, ValueError, AttributeError):
        text = (configured / "config.json").read_text(encoding="utf-8")
        folders = [*map(Path, json.loads(text).get("cliPluginsExtraDirs") or []), *folders]
    return [folder / "docker-compose" for folder in folders]


def digest(root: Path, question: str, program: str, variables: Mapping[str, str]) -> str:
    """Return what changes when the answer may; nothing, when that cannot be known.

    Args:
        root: the checkout.
        question: the flags.
        program: its identity.
        variables: all that it runs with.
    """
    inputs = passthrough.search(root)
    if not program or not inputs.complete:
        return ""
    told = {key: each for key, each in variables.items() if not key.startswith(WITHOUT_EFFECT)}
    files = {str(path): passthrough.content(path) if path.exists() else None for path in inputs.files}
    return digest_of(root, [question, program, str(root), told, files])


def digest_of(root: Path, inputs: Any) -> str:
    """Return what changes when one of these inputs does; it tells nothing of them."""
    return State(root).keyed(json.dumps(inputs, sort_keys=True).encode())


_here: dict[Path, bytes] = {}
"""What this process has asked: where there is no `.stackhand` yet, one check asks the same several times."""


def recall(root: Path, question: str, digest: str) -> Any:
    """Return the answer to a question, if it is kept and still holds."""
    path = _file(root, question)
    with suppress(OSError, msgspec.DecodeError):
        kept = msgspec.json.decode(_here[path] if path in _here else path.read_bytes(), type=KeptAnswer)
        return kept.answer if digest and kept.digest == digest else None
    return None


def keep(root: Path, question: str, digest: str, answer: Any) -> None:
    """Keep an answer for our account alone: it may have secrets in it. A checkout that was never started keeps none."""
    path = _file(root, question)
    if not digest:
        return
    with suppress(OSError, TypeError):
        kept = msgspec.json.encode(KeptAnswer(digest, answer))
        if not path.parent.parent.is_dir():
            _here[path] = kept
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        private.write(path, kept)
        _here.pop(path, None)


def _file(root: Path, question: str) -> Path:
    return State(root).directory / "resolved" / f"{question}.json"
