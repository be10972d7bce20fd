"""Terraform's command line: found, checked and run, one environment at a time."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackhand import ROOT
from stackhand.environments import Environment
from stackhand.failure import ExitCode, Failure
from stackhand.infrastructure.diagnostics import failure
from stackhand.state import State

FOLDER = ROOT / "terraform"
OLDEST = (1, 11)
INSTALL = (
    "install Terraform 1.11 or newer (developer.hashicorp.com/terraform/install), or name it: STACKHAND_TERRAFORM="
)
STATE_KEY = "terraform.tfstate"
LOCK_WAIT = "5s"
CHANGES = 2
"""What `terraform plan -detailed-exitcode` ends with when there are any."""
TOLD = frozenset({"apply_complete", "apply_progress"})


@dataclass
class Terraform:
    """Terraform for one environment; its own files are in `.stackhand/terraform/NAME`.

    Args:
        environment: which.
        progress: told what is being done.
        said: its error messages of the last command.
    """

    environment: Environment
    progress: Callable[[str], None] = lambda _text: None
    said: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        State(ROOT).make()

    def version(self) -> str:
        """Return its version.

        Raises:
            Failure: there is none, or it is too old.
        """
        try:
            out = json.loads(self._read("version", "-json"))["terraform_version"]
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            said = [f"tried: {shlex.join(self._words())}", f"{error}"]
            raise Failure("Terraform cannot be run.", evidence=said, next=INSTALL, code=ExitCode.PREFLIGHT) from error
        if tuple(map(int, re.findall(r"\d+", out)[:2])) < OLDEST:
            raise Failure(
                f"Terraform is {out}, and passwords that are in no state need 1.11.",
                next=INSTALL,
                code=ExitCode.PREFLIGHT,
            )
        return str(out)

    def init(self) -> None:
        """Get the providers, and open the state in the environment's bucket."""
        self.progress("getting the providers")
        self._run(
            "could not be prepared", "init", "-reconfigure", *(f"-backend-config={each}" for each in self._backend())
        )

    def plan(self, *, refresh: bool = True) -> bool:
        """Plan into `plan_file`; return whether anything would change.

        Args:
            refresh: look at what is there; otherwise believe the state, take no lock, and need no right but to read it.
        """
        self.progress("comparing the files with what is there")
        flags = [] if refresh else ["-refresh=false", "-lock=false"]
        words = ["-detailed-exitcode", f"-out={self.plan_file}", *self._variables(), *flags]
        return self._run("could not be planned", "plan", *words) == CHANGES

    def planned(self) -> dict[str, Any]:
        """Return the plan as Terraform's JSON."""
        return dict(json.loads(self._read("show", "-json", str(self.plan_file))))

    def apply(self) -> None:
        """Do what is planned."""
        self._run("could not be applied", "apply", str(self.plan_file))

    def change(self, *targets: str, **variables: str) -> None:
        """Bring a few resources to other values than the environment's file has."""
        words = [*self._variables(**variables), *(f"-target={each}" for each in targets)]
        self._run("could not be changed", "apply", "-auto-approve", *words)

    def destroy(self, **variables: str) -> None:
        """Remove everything."""
        self._run("could not be destroyed", "destroy", "-auto-approve", *self._variables(**variables))

    def outputs(self) -> dict[str, Any]:
        """Return the outputs' values, by name."""
        return {name: each["value"] for name, each in json.loads(self._read("output", "-json")).items()}

    def resources(self) -> list[dict[str, Any]]:
        """Return what the state has."""
        module = json.loads(self._read("show", "-json")).get("values", {}).get("root_module", {})
        return [each for each in module.get("resources", []) if each["mode"] == "managed"]

    @property
    def plan_file(self) -> Path:
        """Where a plan is kept until it is applied; it holds no secret, and belongs to its owner all the same."""
        return self._folder / "plan"

    @property
    def log(self) -> Path:
        """What Terraform said, word by word."""
        return State(ROOT).logs / f"terraform-{self.environment.name}.log"

    @property
    def _folder(self) -> Path:
        folder = State(ROOT).directory / "terraform" / self.environment.name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _variables(self, **more: str) -> list[str]:
        file = f"-var-file=environments/{self.environment.name}.tfvars"
        return [f"-lock-timeout={LOCK_WAIT}", file, *(f"-var={name}={value}" for name, value in more.items())]

    def _backend(self) -> list[str]:
        found = [f"bucket={self.environment.bucket}", f"key={STATE_KEY}", f"region={self.environment.region}"]
        # An emulator has one address for all buckets.
        return [*found, "use_path_style=true"] if os.environ.get("AWS_ENDPOINT_URL") else found

    def _words(self) -> list[str]:
        return shlex.split(os.environ.get("STACKHAND_TERRAFORM", "terraform"))

    def _environment(self) -> dict[str, str]:
        ours = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1", "TF_DATA_DIR": str(self._folder)}
        kept = {key: value for key, value in os.environ.items() if not key.startswith("TF_CLI_ARGS")}
        return {**kept, **ours, "AWS_REGION": self.environment.region}

    def _read(self, *words: str) -> str:
        with self.log.open("ab") as log:
            return subprocess.run(
                [*self._words(), *words],
                cwd=FOLDER,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                check=True,
                text=True,
            ).stdout

    def _run(self, what: str, command: str, *words: str) -> int:
        """Run a command with its steps as progress; return its exit code.

        Raises:
            Failure: it failed.
        """
        self.said = []
        with self.log.open("a", encoding="utf-8") as log:
            child = subprocess.Popen(
                [*self._words(), command, "-json", *words],
                cwd=FOLDER,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
            assert child.stdout is not None  # noqa: S101 - it is a pipe
            with _interrupts_to(child):
                for line in child.stdout:
                    log.write(line)
                    self._follow(line)
                code = child.wait()
        if code not in {0, CHANGES} or (code == CHANGES and command != "plan"):
            raise failure(self.environment, what, self.said, self.log)
        return code

    def _follow(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if event.get("@level") == "error" and "diagnostic" in event:
            self.said.append(event["diagnostic"])
        elif event.get("type") in TOLD and event["hook"].get("action") != "read":
            self.progress(str(event["@message"]))


@contextmanager
def _interrupts_to(child: subprocess.Popen[str]) -> Iterator[None]:
    """Let an interrupt reach Terraform, once: it finishes what it has begun, writes the state and frees the lock."""

    def pass_on(_number: int, _frame: object) -> None:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        for number in before:
            signal.signal(number, signal.SIG_IGN)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, pass_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
