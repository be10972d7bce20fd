"""The play of a rehearsal: a release, the same again, a second one, its jobs, and a bad one that must roll back."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import TextIO

from stackhand.cli.console import ASCII, GLYPHS
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.reporter import Reporter
from stackhand.containers import docker
from stackhand.infrastructure.services import compose
from stackhand.project.compose import composefiles
from stackhand.project.environments import Environment
from stackhand.project.stack import probes
from stackhand.rehearsal import checks, environment
from stackhand.rehearsal.clone import Clone
from stackhand.rehearsal.emulator import Emulator
from stackhand.rehearsal.resources import Resources
from stackhand.system import http
from stackhand.system.roots import PROJECT

TIMING = "poll=0.5"
"""How a release waits here, unless `STACKHAND_TIMING` says otherwise: the emulator may be asked more often than AWS."""


@dataclass
class Step:
    """One line of the table that a rehearsal ends with."""

    name: str
    verdict: str
    seconds: float


@dataclass
class Rehearsal:
    """A rehearsal under way.

    Args:
        aws: the emulator.
        environment: that is rehearsed.
        clone: the checkout that is released.
        resources: what this leaves on the machine while it lasts.
        output: what is shown, and the logs.
        steps: what is done.
        good: the commit of the last good release.
    """

    aws: Emulator
    environment: Environment
    clone: Clone
    resources: Resources
    output: RehearsalOutput
    steps: list[Step] = field(default_factory=list)
    good: str = ""

    @property
    def url(self) -> str:
        """Where the release answers."""
        return f"{self.aws.endpoint}/_alb/{self.environment.prefix}"

    @property
    def running(self) -> str | None:
        """The commit that answers; None when no service tells it, so that the deploy's own probe has to do."""
        path = probes.of_stack(compose.stack_of(PROJECT)).version
        return version(self.url, path) if path else None

    def play(self) -> None:
        """Release, release again, release what must roll back.

        Raises:
            Failure: something ended otherwise than it should.
        """
        self.verb("bootstrap", "bootstrap")
        first = self.clone.head
        self.deploy("first release", first)
        stack = compose.stack_of(PROJECT)
        for worker in checks.connected(self.aws, self.output.folder, stack, self.environment):
            self.output.reporter.line(f"{worker} has connected to what it needs")
        self.deploy("same commit again", first)
        second = self.good = self.clone.commit("Change nothing but the commit")
        self.deploy("second release", second)
        jobs = [each.name for each in stack.services.values() if each.scheduled]
        starts = checks.revisions(self.aws, jobs, self.environment.prefix)
        for job, revision in starts.items():
            self.output.reporter.line(f"the schedule of {job} starts {revision}")
            self.output.reporter.line(self.verb(f"job {job}", "run", job)[-1])
        self.clone.sabotage()
        self.clone.commit("Break a service")
        self.deploy("bad release", second, expected=ExitCode.ROLLED_BACK)
        checks.require_unchanged(starts, checks.revisions(self.aws, jobs, self.environment.prefix))

    def deploy(self, name: str, then: str, *more: str, expected: ExitCode = ExitCode.DONE) -> None:
        """Deploy the copy's commit, and see that it is the wanted one that answers afterwards.

        Raises:
            Failure: the verdict is another, or it is not that commit that answers.
        """
        self.verb(name, "deploy", "--yes", "--max-severity", "any", *more, expected=expected)
        running = self.running
        if running not in {then, None}:
            raise Failure(f"After the step {name}, {self.url} answers with {running}, not with {then}.")

    def verb(self, name: str, *args: str, expected: ExitCode = ExitCode.DONE) -> list[str]:
        """Run a verb in the copy, note down how it ended, and return what it printed.

        Raises:
            Failure: it ended otherwise than expected.
        """
        command = [args[0], "-e", environment.NAME, *args[1:]]
        began = time.monotonic()
        with self.output.step(name, command) as report:
            surroundings = {"STACKHAND_TIMING": TIMING, **self.aws.environment(), **composefiles.chosen(PROJECT)}
            code, lines = self.clone.inv(command, surroundings, report)
        self.resources.look()
        self.steps.append(Step(name, words_of(code), time.monotonic() - began))
        if code != expected:
            raise Failure(
                f"The step {name!r} of the rehearsal ended with {words_of(code)} instead of {words_of(expected)}.",
                evidence=self.output.evidence(name, lines),
                next="fix it, then ./inv rehearse; --keep keeps everything for inspection",
            )
        if code != ExitCode.DONE:
            self.output.expected(lines)
        return lines


def words_of(code: int) -> str:
    """Return what an exit code means."""
    try:
        return ExitCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"exit code {code}"


def version(url: str, path: str = "/version") -> str:
    """Return the commit that a path of an address tells; else, in words, why there is none."""
    try:
        response = http.get(f"{url}{path}", timeout=5)
        return str(response.json()["commit"]) if response.ok else f"status {response.status}"
    except (OSError, HTTPException, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"


WRITTEN = "written before it was destroyed"
LOGIN = 'psql -h /var/run/postgresql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v ON_ERROR_STOP=1 -Atc "$0"'


def restore(rehearsal: Rehearsal) -> None:
    """Destroy the environment, and deploy it from what it left; damage its data, and go back to before.

    Raises:
        Failure: data is lost.
    """
    rehearsal.clone.back(rehearsal.good)
    _sql(rehearsal, f"CREATE TABLE rehearsed AS SELECT '{WRITTEN}' AS word")
    lines = rehearsal.verb("destroy", "destroy", "--yes")
    snapshot = _named(lines)
    rehearsal.deploy("from its snapshot", rehearsal.good, "--from-snapshot", snapshot)
    _require(rehearsal, "from its snapshot")
    _sql(rehearsal, "DROP TABLE rehearsed")
    rehearsal.deploy("back to it", rehearsal.good, "--from-snapshot", snapshot, "--replace-database")
    _require(rehearsal, "back to it")


def _named(lines: list[str]) -> str:
    """Return the snapshot that a destroyed environment has named."""
    named = re.search(r"--from-snapshot (\S+) starts from it", "\n".join(lines))
    if named is None:
        raise Failure("./inv destroy printed no snapshot.", evidence=lines[-5:])
    return named[1]


def _require(rehearsal: Rehearsal, step: str) -> None:
    word = _sql(rehearsal, "SELECT word FROM rehearsed")
    if word != WRITTEN:
        raise Failure(f"After the step {step!r} the database lacks the data that was written.", evidence=[word])


def _sql(rehearsal: Rehearsal, sql: str) -> str:
    """Run SQL in the one database of the emulator."""
    databases = rehearsal.aws.running("ministack=rds")
    if not databases:
        raise Failure("There is no database to rehearse a restore.", next="./inv rehearse without --restore")
    result = docker.run("exec", databases[0], "sh", "-c", LOGIN, sql)
    return (result.stdout or result.stderr).strip()


TAIL = 15
DONE, FAILED = ({GLYPHS[name], ASCII[name]} for name in ("done", "failed"))
ALSO = ("probed",)
"""Steps that change nothing and are shown: what a release is asked is what one rehearses for."""


class RehearsalOutput:
    """The console and the logs of one rehearsal.

    Args:
        folder: where the logs are.
        verbose: show all output of the verbs.
    """

    def __init__(self, folder: Path, *, verbose: bool = False) -> None:
        self.folder, self.verbose = folder, verbose
        self.reporter = Reporter(sys.stdout)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"

    def _shown(self, name: str) -> str:
        """Return the log of a step, as one finds it from the checkout."""
        path = self._log(name)
        return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)

    def clear(self) -> None:
        """Forget the logs of the last rehearsal."""
        for path in self.folder.glob("*.log"):
            path.unlink()

    @contextmanager
    def step(self, name: str, command: Sequence[str]) -> Iterator[Callable[[str], None]]:
        """Show a verb while it runs, whose lines are to be given to what this yields."""
        self.reporter.line(f"{name}: ./inv {' '.join(command)}")
        self.reporter.task(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log(name).open("w", encoding="utf-8") as file:
            try:
                yield partial(self._take, file)
            finally:
                self.reporter.stop()

    def _take(self, log: TextIO, line: str) -> None:
        """Take a line of a verb: all go into its log, and some to the screen."""
        print(line, file=log, flush=True)
        if self.verbose or _is_shown(line):
            self.reporter.line(f"  {line}")
        elif self.reporter.live is not None and line.strip():
            self.reporter.progress(line.strip())

    def evidence(self, name: str, lines: Sequence[str]) -> list[str]:
        """Return what shows why a verb failed: the paragraph it ended with; not again what is on the screen already."""
        if self.verbose:
            return [f"its output is above, and in {self._shown(name)}"]
        return [*_paragraph(lines), f"full output: {self._shown(name)}"]

    def expected(self, lines: Sequence[str]) -> None:
        """Show in one line a failure that had to come."""
        if not self.verbose and (failure := _paragraph(lines)):
            self.reporter.line(f"  {failure[0]}")


def _is_shown(line: str) -> bool:
    """Whether a line of a verb tells of a step that changed something, or is shown all the same."""
    parts = line.split(maxsplit=2)
    return len(parts) > 1 and (parts[0] in DONE or parts[1] in ALSO)


def _paragraph(lines: Sequence[str]) -> list[str]:
    """Return the failure that a verb ended with, as it was printed; the end of its output when it printed none."""
    begins = [number for number, line in enumerate(lines) if line.split(maxsplit=1)[:1] and line.split()[0] in FAILED]
    if not begins:
        return list(lines[-TAIL:])
    return [line.removeprefix("    ") for line in lines[begins[-1] :] if line.strip()]
