"""The container engine of this machine: can it be reached, and what does it say.

Through the `docker` command, which knows about contexts, DOCKER_HOST and credentials; what is asked often goes to the
local socket instead, where there is one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from stackhand import inherited
from stackhand.engines.compose import api
from stackhand.failure import ExitCode, Failure

ANSWER_WITHIN = 2.0
READ_WITHIN = 20.0
OLDEST_COMPOSE = (2, 20)
HOST = ("context", "inspect", "--format", "{{.Name}} {{.Endpoints.docker.Host}}")
DOCTOR = "./inv doctor says why"
INSTEAD = "./inv up --engine embedded needs none"


@dataclass(frozen=True)
class Reached:
    """A container engine that answers.

    Args:
        host: its address, such as unix:///var/run/docker.sock.
        version: of the engine.
        compose: of the Compose plugin.
    """

    host: str
    version: str
    compose: str


class Gone(Failure):
    """The container engine does not answer.

    Args:
        said: what was said instead.
    """

    def __init__(self, said: str) -> None:
        what = "The container engine does not answer any more."
        super().__init__(what, evidence=said.splitlines()[:3], next=DOCTOR, code=ExitCode.PREFLIGHT)
        self.said = said


def reach() -> Reached:
    """Return the container engine, when it answers within two seconds and is new enough.

    Raises:
        Failure: it cannot be used; not installed, not running, not allowed, a wrong context and a Compose that
            is too old are told apart.
    """
    if shutil.which("docker") is None:
        raise _failure("There is no docker command on PATH.", f"install Docker; {INSTEAD}")
    asked = {
        "version": ["docker", "version", "--format", "{{json .Server}}"],
        "compose": ["docker", "compose", "version", "--short"],
        "host": ["docker", *HOST],
    }
    said = _all_at_once(asked)
    context, _, address = said["host"].out.partition(" ")
    address = os.environ.get("DOCKER_HOST") or address or api.DEFAULT_HOST
    if said["version"].code != 0:
        raise _unreachable(said["version"], context, address)
    if said["compose"].code != 0:
        raise _failure("docker has no Compose plugin.", f"install docker-compose-plugin; {INSTEAD}")
    compose = said["compose"].out.lstrip("v")
    numbers = tuple(int(number) for number in re.findall(r"\d+", compose)[:2])
    if numbers < OLDEST_COMPOSE:
        oldest = ".".join(map(str, OLDEST_COMPOSE))
        raise _failure(f"Compose {compose} is too old: {oldest} or newer is needed.", f"update Docker; {INSTEAD}")
    server = json.loads(said["version"].out) or {}
    return Reached(address, str(server.get("Version", "unknown")), compose)


def host() -> str:
    """Return the address of the container engine that `docker` would ask, without asking it.

    Raises:
        Failure: there is no docker command.
    """
    if shutil.which("docker") is None:
        raise _failure("There is no docker command on PATH.", f"install Docker; {INSTEAD}")
    if path := api.local_socket():
        return f"unix://{path}"
    return os.environ.get("DOCKER_HOST") or run(*HOST).stdout.partition(" ")[2].strip() or api.DEFAULT_HOST


def run(
    *words: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float | None = READ_WITHIN,
) -> subprocess.CompletedProcess[str]:
    """Run a docker command to its end and return what it said, whatever its exit code.

    Raises:
        Gone: the engine does not answer.
    """
    try:
        said = subprocess.run(
            ["docker", *words],
            env=environment or inherited.environment("docker"),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Gone(str(error)) from error
    if said.returncode != 0 and is_gone(said.stderr):
        raise Gone(said.stderr.strip())
    return said


def surroundings() -> dict[str, str]:
    """Return the environment for a command of Compose."""
    return inherited.environment("compose")


def is_gone(words: str) -> bool:
    """Whether an error says that the engine cannot be reached any more."""
    signs = ("Cannot connect to the Docker daemon", "error during connect", "permission denied while trying to connect")
    return any(sign in words for sign in signs)


def inspect(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return what the engine knows of containers, by their names; those that do not exist are left out."""
    if not names:
        return {}
    found = json.loads(run("container", "inspect", *names).stdout or "[]")
    return {str(each["Name"]).lstrip("/"): each for each in found}


def listed(project: str) -> list[str]:
    """Return the ids of a Compose project's containers, running or not.

    Raises:
        Gone: the engine does not answer.
    """
    if path := api.local_socket():
        with _telling_gone(path):
            return api.listed(path, project)
    return run("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}").stdout.split()


def containers(project: str) -> dict[str, dict[str, Any]]:
    """Return the containers of a Compose project, running or not, by the names of their services.

    Raises:
        Gone: the engine does not answer.
    """
    path, identities = api.local_socket(), listed(project)
    if path:
        with _telling_gone(path):
            found = [api.inspect(path, each) for each in identities]
    else:
        found = list(inspect(identities).values())
    return {str(each["Config"]["Labels"]["com.docker.compose.service"]): each for each in found if each}


@contextmanager
def _telling_gone(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise Gone(f"Cannot connect to the Docker daemon at unix://{path}: {error}") from error


def publisher(port: int) -> str | None:
    """Return in words which container publishes a port of this machine, if any does."""
    try:
        said = run("ps", "--filter", f"publish={port}", "--format", "{{json .}}", timeout=ANSWER_WITHIN)
    except Gone:
        return None
    for line in said.stdout.splitlines():
        found = json.loads(line)
        project = re.search(r"com\.docker\.compose\.project=([^,]+)", found.get("Labels", ""))
        folder = re.search(r"com\.docker\.compose\.project\.working_dir=([^,]+)", found.get("Labels", ""))
        return (
            f"container {found['Names']}"
            + (f" of the Compose project {project[1]}" if project else "")
            + (f" in {folder[1]}" if folder else "")
        )
    return None


@dataclass(frozen=True)
class _Said:
    code: int
    out: str
    err: str


def _all_at_once(commands: Mapping[str, Sequence[str]]) -> dict[str, _Said]:
    """Run commands side by side; one that takes too long is ended, with the code of timeout(1)."""
    children = {
        name: subprocess.Popen(
            words,
            env=inherited.environment("docker"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, words in commands.items()
    }
    said = {}
    for name, child in children.items():
        try:
            out, err = child.communicate(timeout=ANSWER_WITHIN)
            said[name] = _Said(child.returncode, out.strip(), err.strip())
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            said[name] = _Said(124, "", "")
    return said


def _unreachable(said: _Said, context: str, address: str) -> Failure:
    if said.code == 124:  # noqa: PLR2004 - see _all_at_once
        what = f"The container engine at {address} did not answer within {ANSWER_WITHIN:g} s."
        return _failure(what, f"restart Docker; {INSTEAD}")
    if "permission denied" in said.err:
        what = f"This account may not use the container engine at {address}."
        return _failure(what, f"sudo usermod -aG docker $USER, then log in again; {INSTEAD}")
    if os.environ.get("DOCKER_HOST"):
        what = f"DOCKER_HOST says {address}, and no container engine answers there."
        return _failure(what, f"unset DOCKER_HOST, or start that engine; {INSTEAD}")
    if context not in {"", "default"}:
        what = f"The docker context {context!r} says {address}, and no container engine answers there."
        return _failure(what, f"docker context use default, or start that engine; {INSTEAD}")
    what = f"The container engine is not running: nothing answers at {address}."
    return _failure(what, f"start Docker (sudo systemctl start docker, or Docker Desktop); {INSTEAD}", said.err)


def _failure(what: str, mend: str, evidence: str = "") -> Failure:
    return Failure(what, evidence=evidence.splitlines()[:3], next=mend, code=ExitCode.PREFLIGHT)
