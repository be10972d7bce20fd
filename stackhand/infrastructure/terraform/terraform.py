"""Terraform's command line: found, checked and run, one environment at a time."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import documents
from stackhand.infrastructure.documents import Diagnostic, TerraformOutput, TerraformPlan, TerraformState, Values
from stackhand.infrastructure.services import services, tfvars
from stackhand.infrastructure.terraform import process, working_directory
from stackhand.infrastructure.terraform.process import failure
from stackhand.infrastructure.terraform.working_directory import Initialised
from stackhand.project import environments, inherited
from stackhand.project.environments import Environment
from stackhand.project.state import State
from stackhand.system.roots import PROJECT

OLDEST = (1, 11)
STATE_KEY = "terraform.tfstate"
LOCK_WAIT = 5.0
CHANGES = 2
"""What `terraform plan -detailed-exitcode` ends with when there are any."""
ENDED = frozenset({"apply_complete", "apply_errored"})
HOOKS = ENDED | {"apply_progress"}

Printed = TypeVar("Printed")


class Version(msgspec.Struct):
    """What `terraform version -json` prints."""

    terraform_version: str


@dataclass
class Terraform:
    """Terraform for one environment; its own files are in `.stackhand/terraform/NAME`.

    Args:
        count: called with how much of it is done, again and again.
        lock_wait: seconds to wait while somebody else has the state.
    """

    environment: Environment
    progress: Callable[[str], None] = lambda _text: None
    count: Callable[[str], None] = lambda _text: None
    lock_wait: float = LOCK_WAIT
    _errors: list[Diagnostic] = field(default_factory=list)
    _done: int = 0
    _planned: int = 0

    def __post_init__(self) -> None:
        State(PROJECT).make()

    def version(self) -> str:
        """Return its version.

        Raises:
            Failure: there is none, or it is too old.
        """
        try:
            version = msgspec.json.decode(self._read("version", "-json"), type=Version).terraform_version
        except ValueError as error:
            raise process.not_run(self._command(), f"it does not report its version: {error}") from error
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
            raise Failure(
                f"Terraform is {version}, and passwords that are in no state need 1.11.",
                next=process.INSTALL,
                code=ExitCode.PREFLIGHT,
            )
        return version

    def init(self) -> None:
        """Get the providers, and open the state in the environment's bucket, unless the same was done before."""
        if self._initialised.current():
            return
        self.progress("getting the providers")
        backend = [f"-backend-config={each}" for each in self._backend()]
        self._run("could not be prepared", "init", "-reconfigure", *backend)
        self._initialised.note()

    def try_init(self, folder: Path, *, stop_at: str) -> tuple[int, list[str]]:
        """Initialise a folder without its state, and return the exit code and its output.

        Args:
            folder: which.
            stop_at: the code of the message after which nothing more is of interest; without one, to its end.
        """
        output: list[str] = []

        def each(line: str) -> bool:
            output.append(line)
            return bool(stop_at) and f'"{stop_at}"' in line

        variables = {**self._environment(), "TF_DATA_DIR": str(folder / ".terraform")}
        args = [*self._command(), "init", "-json", "-backend=false"]
        return process.follow(args, variables, self.log, each, folder), output

    def plan(self, *, refresh: bool = True, replace: Sequence[str] = (), **variables: str) -> bool:
        """Plan into `plan_file`; return whether anything would change.

        Args:
            refresh: look at what is there; otherwise trust the state, take no lock, and need no right but to read it.
            replace: addresses of what is to be replaced.
            variables: where they differ from the environment's file.
        """
        self.progress("comparing the files with AWS")
        flags = [*([] if refresh else ["-refresh=false", "-lock=false"]), *(f"-replace={each}" for each in replace)]
        args = ["-detailed-exitcode", f"-out={self.plan_file}", *self._variables(variables), *flags]
        return self._run("could not be planned", "plan", *args) == CHANGES

    def planned(self) -> TerraformPlan:
        """Return the plan."""
        return self._json(TerraformPlan, "show", "-json", str(self.plan_file))

    def apply(self, changes: int = 0) -> None:
        """Do what is planned: so many changes."""
        self._planned = changes
        self._run("could not be applied", "apply", self._lock_timeout, str(self.plan_file))

    def change(self, *targets: str, **variables: str) -> None:
        """Bring a few resources to other values than the environment's file has."""
        args = [*self._variables(variables, planned=True), *(f"-target={each}" for each in targets)]
        self._run("could not be changed", "apply", "-auto-approve", *args)

    def destroy(self, **variables: str) -> None:
        """Remove everything."""
        self._run("could not be destroyed", "destroy", "-auto-approve", *self._variables(variables, planned=True))

    def forget(self, addresses: Sequence[str]) -> None:
        """Leave some resources as they are, and manage them no more."""
        self._read("state", "rm", self._lock_timeout, *addresses)

    def outputs(self) -> dict[str, Any]:
        """Return the outputs' values, by name."""
        return {name: each.value for name, each in self._json(dict[str, TerraformOutput], "output", "-json").items()}

    def state(self) -> Values:
        """Return what the state has."""
        return self._json(TerraformState, "show", "-json").values

    @property
    def plan_file(self) -> Path:
        """Where a plan is kept until it is applied; it holds no secret, and belongs to its owner all the same."""
        return self._folder / "plan"

    @cached_property
    def configuration(self) -> Path:
        """The folder in which Terraform runs: its configuration, and the checksums of the providers."""
        folder = self._folder / "configuration"
        working_directory.place(folder)
        return folder

    def warnings(self) -> list[str]:
        """Return a sentence where the next machine could get other providers than this one has got."""
        if self.environment.emulated or not working_directory.unrecorded(self.configuration):
            return []
        lock = (self.configuration / working_directory.LOCK).relative_to(PROJECT)
        kept = f"{working_directory.NAME}/{working_directory.LOCK}"
        return [f"the checksums of Terraform's providers are in no commit: copy {lock} to {kept}, and commit that"]

    @property
    def log(self) -> Path:
        """All that Terraform printed."""
        return State(PROJECT).logs / f"terraform-{self.environment.name}.log"

    @property
    def _folder(self) -> Path:
        folder = State(PROJECT).directory / "terraform" / self.environment.name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    @property
    def _initialised(self) -> Initialised:
        return Initialised(self._folder, self.configuration, self._command(), self._backend(), self._environment())

    @property
    def _lock_timeout(self) -> str:
        return f"-lock-timeout={max(self.lock_wait, LOCK_WAIT):.0f}s"

    def _variables(self, more: Mapping[str, str], *, planned: bool = False) -> list[str]:
        """Return the files of variables and what differs from them.

        Args:
            more: what differs.
            planned: take the services of the last plan where Compose rejects its files: that keeps nothing from being
                removed.
        """
        file = f"-var-file={environments.FOLDER / self.environment.name}.tfvars"
        written = self._folder / "services.tfvars.json"
        try:
            tfvars.write(written, PROJECT, services.variables_of(self.environment))
        except Failure:
            if not (planned and written.exists()):
                raise
        differing = [f"-var={name}={value}" for name, value in more.items()]
        return [self._lock_timeout, file, f"-var-file={written}", *differing]

    def _backend(self) -> list[str]:
        settings = [f"bucket={self.environment.bucket}", f"key={STATE_KEY}", f"region={self.environment.region}"]
        # An emulator has one address for all buckets.
        return [*settings, "use_path_style=true"] if os.environ.get("AWS_ENDPOINT_URL") else settings

    def _command(self) -> list[str]:
        return shlex.split(os.environ.get("STACKHAND_TERRAFORM", "terraform"))

    def _environment(self) -> dict[str, str]:
        ours = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1", "TF_DATA_DIR": str(self._folder)}
        return inherited.environment("terraform", **ours, AWS_REGION=self.environment.region)

    def _read(self, *args: str) -> str:
        try:
            return process.read([*self._command(), *args], self._environment(), self.log, self.configuration)
        except Failure:
            self._initialised.forget()
            raise

    def _json(self, kind: type[Printed], *args: str) -> Printed:
        """Return what a command prints as JSON.

        Raises:
            Failure: it is not what Terraform 1.11 and newer print.
        """
        try:
            return msgspec.json.decode(self._read(*args), type=kind)
        except ValueError as error:
            raise Failure(
                f"`terraform {args[0]}` does not print what is expected of it.",
                evidence=[str(error)],
                next=f"{shlex.join([*self._command(), 'version'])} shows which Terraform it is; {process.INSTALL}",
                code=ExitCode.PREFLIGHT,
            ) from error

    def _run(self, what: str, command: str, *args: str) -> int:
        """Run a command with its steps as progress; return its exit code.

        Raises:
            Failure: it failed.
        """
        self._errors, self._done = [], 0
        line = [*self._command(), command, "-json", *args]
        code = process.follow(line, self._environment(), self.log, self._follow, self.configuration)
        if code not in {0, CHANGES} or (code == CHANGES and command != "plan"):
            self._initialised.forget()
            raise failure(self.environment, what, self._errors, self.log)
        return code

    def _follow(self, line: str) -> None:
        event = documents.event(line)
        if event.level == "error" and event.diagnostic:
            if span := event.diagnostic.range:  # named by the place where it can be edited
                span.filename = working_directory.shown(self.configuration, span.filename)
            self._errors.append(event.diagnostic)
        elif event.type == "change_summary" and event.changes.operation == "plan":
            self._planned = event.changes.add + event.changes.change + event.changes.remove
        elif event.type in HOOKS and event.hook.action != "read":
            self._done += event.type in ENDED
            message = event.message.partition(" [id=")[0]
            self.count(f"{self._done} of {self._planned} done; {message}" if self._planned else message)
