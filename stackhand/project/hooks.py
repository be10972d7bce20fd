"""The project's hooks: programs of its own that run before and after `up`, `deploy` and `rollback` (docs/hooks.md).

`hooks/pre-STAGE` runs before a verb does anything and can stop it; `hooks/post-STAGE` and `hooks/on-failure` run once
its result is fixed, and change nothing about it.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import hook_process
from stackhand.project.hook_process import Ended
from stackhand.system.roots import PROJECT

FOLDER = "hooks"
ON_FAILURE = "on-failure"
NAMES = ("pre-up", "post-up", "pre-deploy", "post-deploy", ON_FAILURE)
PREFIX = "STACKHAND_HOOK"
"""The hook's own name for the hook; what else it is told begins so. A verb that a hook runs finds it, and runs none."""
SKIP = "STACKHAND_SKIP_HOOKS"
NO_FAILURE = frozenset({ExitCode.USAGE, ExitCode.INTERRUPTED})
"""The ends of a verb whose reason sits at the keyboard."""


class HookFacts(msgspec.Struct):
    """The facts that a hook gets, each as `STACKHAND_HOOK_FIELD`; a field that is empty or None is not set."""

    verb: str  # up, deploy or rollback
    project: str  # the stack's name; in the cloud, the prefix of its resources' names
    engine: str = ""  # what runs the stack; before `up`, the engine that was requested
    environment: str = ""  # staging, production
    commit: str = ""  # that is released, where it is known
    tag: str = ""  # what `--tag` names
    to: str = ""  # what `rollback --to` names
    release: str = ""  # the release's identifier, after it
    services: tuple[str, ...] = ()  # the names of those that were started or released
    url: str = ""  # where the environment answers
    changed: bool | None = None  # whether the verb had anything to do
    seconds: float | None = None  # how long the verb took
    outcome: str = ""  # done, or what docs/output.md calls the exit code: rolled_back
    exit_code: int | None = None  # of the verb
    failure: str = ""  # what failed, in one sentence
    next: str = ""  # what to run about it

    def learn(self, report: Mapping[str, Any]) -> None:
        """Take over what a verb reports, in the form of its `--json`."""
        self.project = str(report.get("stack") or self.project)
        self.engine, self.commit = str(report.get("engine") or self.engine), str(report.get("commit") or self.commit)
        self.release, self.url = str(report.get("release") or ""), str(report.get("url") or "")
        services = report.get("services") or ()
        self.services = tuple(str(each["name"]) if isinstance(each, Mapping) else str(each) for each in services)
        self.changed = bool(report.get("changed"))

    def variables(self) -> dict[str, str]:
        """Return them as variables."""
        given = msgspec.structs.asdict(self).items()
        return {f"{PREFIX}_{name.upper()}": _text(value) for name, value in given if value not in (None, "", ())}


class Hooks:
    """The hooks around one verb.

    Args:
        stage: up or deploy.
        facts: what they are told; a block adds what it learns.
        again: the command to repeat without hooks.
        skip: run none; so does SKIP, and a verb that a hook runs.
        resumed: whether an earlier run of the verb had its pre-hook already.
    """

    def __init__(self, stage: str, facts: HookFacts, again: str, *, skip: bool = False, resumed: bool = False) -> None:
        self.facts, self.again = facts, again
        self.pre = "" if resumed else f"pre-{stage}"
        self.post = f"post-{stage}"
        self.skipped = skip or bool(os.environ.get(SKIP)) or PREFIX in os.environ
        self._began = time.monotonic()

    @contextmanager
    def around(self) -> Iterator[HookFacts]:
        """Run the pre-hook before a block, the post-hook after it, or `on-failure` after a failed one.

        Raises:
            Failure: that of the pre-hook or of the block.
        """
        try:
            self.before()
            yield self.facts
        except Exception as error:
            self.failed(error if isinstance(error, Failure) else Failure(f"Unexpected {type(error).__name__}: {error}"))
            raise
        self.after()

    def before(self) -> None:
        """Check that all hooks can be run, and run the pre-hook.

        Raises:
            Failure: one cannot be run, or the pre-hook failed or was interrupted; the verb has done nothing yet.
        """
        if self.skipped:
            return
        _notice_misnamed()
        for name in filter(None, (self.pre, self.post, ON_FAILURE)):
            if (path := _path(name)) and not os.access(path, os.X_OK):
                raise Failure(
                    f"{FOLDER}/{name} is not executable.",
                    next=f"chmod +x {FOLDER}/{name}, or skip the hooks: {self.again}",
                    code=ExitCode.PREFLIGHT,
                )
        try:
            ended = self._run(self.pre)
        except KeyboardInterrupt:
            what = f"Interrupted during {FOLDER}/{self.pre}; nothing else was done."
            raise Failure(what, next="repeat the command", code=ExitCode.INTERRUPTED) from None
        self._began = time.monotonic()
        if ended and ended.problem:
            raise Failure(
                f"{FOLDER}/{self.pre} {ended.problem}, so nothing else was done.",
                evidence=ended.lines,
                next=f"fix what it reports, or skip the hooks: {self.again}",
                code=ExitCode.PREFLIGHT,
            )

    def after(self) -> None:
        """Run the post-hook; one that fails is reported, and the verb is done all the same."""
        self._tell(ExitCode.DONE)
        self._report(self.post)

    def failed(self, failure: Failure) -> None:
        """Run `on-failure`, unless it is the user who erred or interrupted."""
        if failure.code in NO_FAILURE:
            return
        self._tell(failure.code)
        self.facts.failure = console.redacted(failure.what)
        self.facts.next = console.with_command(console.redacted(failure.next))
        self._report(ON_FAILURE)

    def _tell(self, code: ExitCode) -> None:
        self.facts.outcome, self.facts.exit_code = code.name.lower(), int(code)
        self.facts.seconds = round(time.monotonic() - self._began, 1)

    def _report(self, name: str) -> None:
        try:
            ended = None if self.skipped else self._run(name)
        except KeyboardInterrupt:
            console.notify(f"{console.glyph('warning'):>3} {FOLDER}/{name} was interrupted; the result stands")
            return
        if ended and ended.problem:
            console.notify(f"{console.glyph('warning'):>3} {FOLDER}/{name} {ended.problem}; the result stands")

    def _run(self, name: str) -> Ended | None:
        """Run a hook, if the project has it, and show its output on stderr."""
        path = _path(name) if name else None
        if path is None:
            return None
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        variables = {PREFIX: name, f"{PREFIX}_RECORDED_AT": now, f"{PREFIX}_PERFORMER": _performer()}
        return hook_process.run(path, {**os.environ, **variables, **self.facts.variables()})


def _path(name: str) -> Path | None:
    """Return a hook that the project has; a link that leads nowhere is one, and cannot be run."""
    path = PROJECT / FOLDER / name
    return path if path.is_file() or path.is_symlink() else None


def _notice_misnamed() -> None:
    """Say which files would be hooks under another name: pre-deploy.sh, pre_deploy."""
    with suppress(OSError):
        for path in sorted((PROJECT / FOLDER).iterdir()):
            meant = path.name.partition(".")[0].replace("_", "-")
            if meant in NAMES and path.name not in NAMES and path.suffix not in {".sample", ".md"}:
                console.notify(f"{console.glyph('warning'):>3} {FOLDER}/{path.name} is not run: name it {meant}")


def _performer() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as containers have
        return str(os.getuid())


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value)
    return str(value)
