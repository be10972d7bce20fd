"""The container engine of this machine: can it be reached, and what does it say.

Through the `docker` command, which knows about contexts, DOCKER_HOST and credentials; what is asked often goes to the
local socket instead, where there is one.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import IO

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import endpoint
from stackhand.containers.endpoint import INSTEAD, NO_COMMAND, Unavailable, is_unavailable
from stackhand.project import inherited
from stackhand.project.compose import composefiles
from stackhand.system import program, waiting
from stackhand.system.roots import PROJECT

ANSWER_WITHIN = 2.0
REMOTE_WITHIN = 10.0
"""Seconds for an engine on another machine: a login by ssh takes one or two, and each command logs in again."""
READ_WITHIN = 20.0
OLDEST_COMPOSE = (2, 20)
ENDED_WITHIN = 1.0
SILENT = 124  # the code of timeout(1)
HOST = ("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
SHOWN = 10
"""Lines of what a command said before it failed."""
NOT_THERE = re.compile(r"no such (?:image|container|object|volume|network)|network \S+ not found", re.IGNORECASE)
"""What docker says of a thing that does not exist: an answer, though with exit code 1, as for all that goes wrong."""


@dataclass(frozen=True)
class Reached:
    """A container engine that answers: its address, its version, and that of the Compose plugin."""

    host: str
    version: str
    compose: str


class Failed(Failure):
    """A docker command, which `args` has without `docker`, ended with an error though the engine can be asked."""

    def __init__(self, args: Sequence[str], message: str) -> None:
        name = " ".join(list(takewhile(lambda each: not each.startswith("-"), args))[:2])
        what, remedy, code = f"docker {name} failed.", "fix that, then repeat the command", ExitCode.FAILED
        if name == "compose config":
            what, code = f"Compose rejects {composefiles.label(PROJECT)}.", ExitCode.PREFLIGHT
            remedy = f"fix {composefiles.label(PROJECT)}, then repeat the command"
        super().__init__(what, evidence=message.splitlines()[-SHOWN:], next=remedy, code=code)
        self.message = message


def reach() -> Reached:
    """Return the container engine, when it answers in time (see `answer_within`) and is new enough.

    Raises:
        Failure: it cannot be used; not installed, not running, not allowed, a wrong context and a Compose that
            is too old are told apart.
    """
    _require_command()
    asked = {
        "version": ["docker", "version", "--format", "{{json .Server}}"],
        "compose": ["docker", "compose", "version", "--short"],
    }
    output = _all_at_once(asked)
    if output["version"].returncode != 0:
        raise Unavailable(_message(output["version"]))
    if output["compose"].returncode == SILENT:
        raise _failure(f"docker compose version: {output['compose'].stderr}.", f"repeat the command; {INSTEAD}")
    if output["compose"].returncode != 0:
        remedy = f"install docker-compose-plugin; {INSTEAD}"
        raise _failure("docker has no working Compose plugin.", remedy, _message(output["compose"]))
    compose = output["compose"].stdout.strip().lstrip("v")
    numbers = tuple(int(number) for number in re.findall(r"\d+", compose)[:2])
    if numbers < OLDEST_COMPOSE:
        oldest = ".".join(map(str, OLDEST_COMPOSE))
        raise _failure(f"Compose {compose} is too old: {oldest} or newer is needed.", f"update Docker; {INSTEAD}")
    server = json.loads(output["version"].stdout) or {}
    return Reached(host(), str(server.get("Version", "unknown")), compose)


def answer_within() -> float:
    """Return the seconds after which an engine that does not answer is given up."""
    return REMOTE_WITHIN if endpoint.is_remote(endpoint.address()) else ANSWER_WITHIN


def host() -> str:
    """Return the address of the container engine that `docker` would ask, without asking it.

    Raises:
        Failure: there is no docker command, or no such context.
    """
    _require_command()
    return endpoint.address() or run(*HOST).stdout.strip()


def run(
    *args: str,
    accept: re.Pattern[str] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout: float | None = READ_WITHIN,
    host: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a docker command to its end and return what it said.

    Args:
        args: the command, without `docker`.
        accept: the errors that are an answer. Not by exit code: `no such image` and `no such engine` have the same.
        environment: its variables; ours, when they are not given.
        folder: where it runs.
        timeout: seconds it may take.
        host: the engine's address, where it is not the one in force.

    Raises:
        Unavailable: the engine cannot be asked.
        Failed: any other error.
    """
    try:
        done = program.run(
            ["docker", *args],
            environment={**(environment or inherited.environment("docker")), **({"DOCKER_HOST": host} if host else {})},
            folder=folder,
            timeout=timeout,
        )
    except FileNotFoundError as error:
        raise Unavailable(NO_COMMAND) from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"no answer within {timeout:g} s", host) from error
    if done.returncode != 0 and not _accepted(done.stderr, accept):
        raise error_of(args, done.returncode, _message(done), host)
    return done


class Running:
    """A docker command that runs beside this program."""

    def __init__(self, child: subprocess.Popen[bytes], file: IO[bytes]) -> None:
        self._child, self._file = child, file

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def failed(self) -> bool:
        """Whether it has ended with an error."""
        return bool(self._child.poll())

    def wait(self) -> None:
        """Wait until it has ended."""
        self._child.wait()

    def output(self) -> str:
        """Return what it has printed so far."""
        self._file.seek(0)
        return self._file.read().decode(errors="replace")


@contextmanager
def running(command: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> Iterator[Running]:
    """Run a docker command beside the block; at the block's end it is terminated if it still runs."""
    with tempfile.TemporaryFile() as file:
        child = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield Running(child, file)
        finally:
            if child.poll() is None:
                child.terminate()
            child.wait()


def error_of(args: Sequence[str], code: int, message: str, host: str = "") -> Unavailable | Failed:
    """Return the failure of a docker command that ended with an exit code and this message; see `run`."""
    message = message.strip() or f"no output, exit code {code}"
    return Unavailable(message, host) if is_unavailable(message) else Failed(args, message)


def _accepted(message: str, accept: re.Pattern[str] | None) -> bool:
    lines = [line for line in message.splitlines() if line.strip() and not line.startswith("WARNING")]
    return accept is not None and bool(lines) and all(accept.search(line) for line in lines)


def _message(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command said of a failure: on stderr, or as WSL's stand-in for docker does, on stdout."""
    return done.stderr.strip() or done.stdout.strip()


def _all_at_once(commands: Mapping[str, Sequence[str]]) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run commands side by side; one that takes too long is ended, with the code of timeout(1)."""
    environment, within = inherited.environment("docker"), answer_within()

    def silent(args: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(args, SILENT, "", f"no answer within {within:g} s")

    def output(args: Sequence[str]) -> subprocess.CompletedProcess[str]:
        try:
            return program.run(args, environment=environment, timeout=within)
        except subprocess.TimeoutExpired:
            return silent(args)

    ended = waiting.gather({name: partial(output, args) for name, args in commands.items()}, within + ENDED_WITHIN)
    return {name: ended.get(name) or silent(args) for name, args in commands.items()}


def _require_command() -> None:
    if shutil.which("docker") is None:
        raise Unavailable(NO_COMMAND)


def _failure(what: str, remedy: str, message: str = "") -> Failure:
    return Failure(what, evidence=message.splitlines()[-SHOWN:], next=remedy, code=ExitCode.PREFLIGHT)
