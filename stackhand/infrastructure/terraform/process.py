"""One run of Terraform: its output goes into a log, and an interrupt reaches it once."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stackhand.aws import credentials, network
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import tail
from stackhand.infrastructure.documents import Diagnostic
from stackhand.project.environments import Environment
from stackhand.system import program
from stackhand.system.roots import PROJECT

INSTALL = "install Terraform 1.11 or newer (developer.hashicorp.com/terraform), or set STACKHAND_TERRAFORM=PATH"


def not_run(args: Sequence[str], why: str) -> Failure:
    """Return the failure of a Terraform that is none."""
    return Failure(
        "Terraform cannot be started.",
        evidence=[f"tried: {shlex.join(args)}", why],
        next=INSTALL,
        code=ExitCode.PREFLIGHT,
    )


def read(args: Sequence[str], environment: Mapping[str, str], log_path: Path, folder: Path) -> str:
    """Return what a command says, which runs in a folder.

    Raises:
        Failure: it cannot be run, or failed.
    """
    child = _begin(args, environment, folder, errors=subprocess.PIPE)
    with child, _interrupts_to(child):
        output, errors = child.communicate()
    with log_path.open("a", encoding="utf-8") as log:
        log.write(errors)
    if child.returncode != 0:
        raise Failure(
            f"{shlex.join(args[:2])} ended with {child.returncode}.",
            evidence=tail(log_path, 5),
            next=f"read {log_path.relative_to(PROJECT)}",
        )
    return output


def follow(
    args: Sequence[str],
    environment: Mapping[str, str],
    log_path: Path,
    each: Callable[[str], object],
    folder: Path,
) -> int:
    """Run a command to its end, and return its exit code.

    Args:
        args: the command.
        environment: its environment.
        log_path: where its output is kept.
        each: called with each line of them; once it returns True, the command has done what it was for, and is ended.
        folder: where it runs.

    Raises:
        Failure: it cannot be run.
    """
    with log_path.open("a", encoding="utf-8") as log:
        child = _begin(args, environment, folder, errors=log)
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        with child, _interrupts_to(child):
            for line in child.stdout:
                log.write(line)
                if each(line) is True:
                    os.killpg(child.pid, signal.SIGKILL)
                    return 0
            return child.wait()


def _begin(
    args: Sequence[str], environment: Mapping[str, str], folder: Path, errors: int | IO[str]
) -> subprocess.Popen[str]:
    """Start a command in a session of its own: an interrupt of the terminal reaches it by us alone."""
    try:
        return subprocess.Popen(
            args,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise not_run(args, str(error)) from error


@contextmanager
def _interrupts_to(child: subprocess.Popen[str]) -> Iterator[None]:
    """Let an interrupt reach Terraform, once: it finishes what it has begun, writes the state and frees the lock.

    Raises:
        KeyboardInterrupt: then; in a worker of Ansible nobody waits for it any more.
    """
    arrived: list[int] = []
    turns = itertools.count()  # of two signals within each other, one is the first

    def pass_on(number: int, _frame: object) -> None:
        arrived.append(number)
        if next(turns) == 0 and child.poll() is None:
            child.send_signal(signal.SIGINT)

    with program.handling(pass_on):
        yield
    if arrived and multiprocessing.parent_process() is None:
        raise KeyboardInterrupt


WAYS_OUT = (
    "allow access to Terraform's registry, then repeat the command; or use a mirror (docs/operations.md): "
    "TF_CLI_CONFIG_FILE=FILE with a filesystem_mirror, such as a filled TF_PLUGIN_CACHE_DIR; or a Terraform with "
    "its providers: STACKHAND_TERRAFORM=PATH"
)
SHOWN = 5
LINES_OF_EACH = 4


def failure(environment: Environment, what: str, errors: Sequence[Diagnostic], log: Path) -> Failure:
    """Return the failure of a command.

    Args:
        environment: whose.
        what: the end of a sentence: "could not be planned".
        errors: Terraform's diagnostics.
        log: where all of it stands.
    """
    text = "\n".join(f"{each.summary}\n{each.detail}" for each in errors)
    if "Error acquiring the state lock" in text:
        return _locked(environment, text)
    renewal, synchronization = credentials.renewal(), network.synchronization()
    for pattern, sentence, remedy in KNOWN:
        if re.search(pattern, text, re.IGNORECASE):
            return Failure(
                sentence.format(name=environment.name, account=environment.account),
                evidence=_lines(errors)[:SHOWN],
                next=remedy.format(name=environment.name, renewal=renewal, synchronization=synchronization),
                code=ExitCode.PREFLIGHT,
            )
    return Failure(
        f"{environment.name} {what}.",
        evidence=_lines(errors) or ["Terraform gave no reason"],
        next=f"fix it, then repeat the command; Terraform's full output: {log.relative_to(PROJECT)}",
    )


KNOWN = (
    (  # before the provider or the bucket that could not be had because of it
        r"x509: certificate|tls: failed to verify certificate",
        "Terraform does not trust a certificate; a network that re-signs TLS causes this.",
        "use your network's certificate bundle: SSL_CERT_FILE=/path/to/bundle.pem, then repeat the command",
    ),
    (
        (
            r"No valid credential sources|ExpiredToken|InvalidClientTokenId|security token included in the request is"
            r"|failed to get shared config profile|SSO (session|token)|refresh cached credentials"
        ),
        "AWS does not recognise your credentials.",
        "{renewal}, then repeat the command",
    ),
    (
        r"Signature (expired|not yet current)|RequestTimeTooSkewed",
        "This machine's clock differs from AWS's.",
        "{synchronization}, then repeat the command",
    ),
    (
        r"AWS account ID not allowed",
        "You are logged in to another account, but {name} belongs to {account}.",
        "log in to that account, or fix account_id in environments/{name}.tfvars",
    ),
    (
        r"NoSuchBucket|bucket does not exist",
        "{name} has no bucket for its state yet.",
        "./inv bootstrap -e {name}",
    ),
    (
        r"Failed to (query available|install) provider|could not connect to registry",
        "Terraform could not get its providers.",
        WAYS_OUT,
    ),
    (
        r"ParameterAlreadyExists",
        "A secret that Terraform would create already exists.",
        "declare it as 'secret given' in .env.example to keep its value, or delete the parameter to generate a new one",
    ),
    (
        r"AccessDenied|not authorized to perform|UnauthorizedOperation",
        "AWS denies a permission that {name} needs.",
        "log in with a role that has it (docs/operations.md), then repeat the command",
    ),
)
"""What is known to go wrong: a pattern, the sentence, and the remedy."""


def _locked(environment: Environment, text: str) -> Failure:
    """Say who holds the lock of the state, and since when."""
    lock = dict(re.findall(r"^\s*(ID|Who|Created|Operation):\s*(.+?)\s*$", text, re.MULTILINE))
    who, since = lock.get("Who", "somebody"), re.sub(r"\.\d+( \+0000)?", "", lock.get("Created", "an unknown time"))
    return Failure(
        f"The state of {environment.name} is locked by {who}, since {since}.",
        evidence=[f"for: {lock['Operation'].removeprefix('OperationType')}"] if "Operation" in lock else [],
        next="wait for it with --lock-wait 600; if it ended without releasing the lock: "
        f"aws s3 rm s3://{environment.bucket}/terraform.tfstate.tflock",
        code=ExitCode.LOCKED,
    )


def _lines(errors: Sequence[Diagnostic]) -> list[str]:
    """Return what the diagnostics say, in lines: where, what, and the beginning of why."""
    lines = []
    for each in errors[:SHOWN]:
        detail = [f"  {line.strip()}" for line in each.detail.splitlines() if line.strip()]
        lines += [each.line(), *detail[:LINES_OF_EACH]]
    if len(errors) > SHOWN:
        lines.append(f"and {len(errors) - SHOWN} more")
    return lines
