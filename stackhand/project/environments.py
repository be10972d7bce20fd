"""The environments in the cloud: `environments/NAME.tfvars`, for all that is not Terraform."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackhand.aws.session import client
from stackhand.cli import packages
from stackhand.cli.failure import ExitCode, Failure
from stackhand.system.roots import PROJECT

FOLDER = PROJECT / "environments"
EMULATOR = "TF_VAR_aws_endpoint"
NEEDED = ("stack", "region", "account_id")


@dataclass(frozen=True)
class Environment:
    """One place where the stack runs in the cloud."""

    name: str  # staging, production, rehearsal: what its file is called
    stack: str  # the prefix of its resources' names
    region: str  # of AWS
    account: str  # the twelve digits of the account it belongs to; nothing is done in another
    variables: Mapping[str, Any] = field(default_factory=dict)  # all that its file says, as Terraform reads it

    @property
    def emulated(self) -> bool:
        """Whether an emulator stands in for AWS: `./inv rehearse` tells Terraform so, and thereby us."""
        return bool(os.environ.get(EMULATOR))

    @property
    def prefix(self) -> str:
        """What the names of its resources begin with, as in Terraform's local.name."""
        return f"{self.stack}-{self.name}"

    def resource(self, service: str, longest: int = 63) -> str:
        """Return the name of a service's database or cache on AWS, which has no underscores (terraform/names.tf).

        Args:
            service: its name in the Compose file.
            longest: how many characters the name may have: 63 in RDS, 40 in ElastiCache.
        """
        whole = f"{self.prefix}-{service}"
        name = whole.replace("_", "-")
        if len(name) <= longest:
            return name
        digest = hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest()
        return f"{name[: longest - 7].removesuffix('-')}-{digest[:6]}"

    @property
    def bucket(self) -> str:
        """The S3 bucket with Terraform's state, the lease and the releases; its name must be unique in the world."""
        return f"{self.stack}-{self.name}-{self.account}-{self.region}"

    def client(self, service: str) -> Any:
        """Return a boto3 client that gives up in bounded time; `AWS_ENDPOINT_URL` is honoured."""
        return client(service, self.region)


def known(folder: Path | None = None) -> list[str]:
    """Return the names of the environments there are files for, in a folder or in that of the project."""
    return sorted(path.stem for path in (folder or FOLDER).glob("*.tfvars"))


def load(name: str, folder: Path | None = None) -> Environment:
    """Read one environment from its file in a folder, or in that of the project.

    Raises:
        Failure: there is no such file, it cannot be read, or it lacks what everything needs.
    """
    path = (folder or FOLDER) / f"{name}.tfvars"
    if name not in known(folder):
        raise Failure(
            f"There is no environment {name!r}.",
            evidence=[f"known: {', '.join(known(folder)) or 'none'}"],
            next=f"use one of them, or create {path.relative_to(PROJECT)}",
            code=ExitCode.USAGE,
        )
    variables = _read(path)
    missing = [key for key in NEEDED if not isinstance(variables.get(key), str) or not variables[key]]
    if missing:
        raise Failure(
            f"{path.relative_to(PROJECT)} lacks {' and '.join(missing)}.",
            evidence=["each is a string in double quotes"],
            next=f"add it to {path.relative_to(PROJECT)}",
            code=ExitCode.PREFLIGHT,
        )
    return Environment(name, variables["stack"], variables["region"], variables["account_id"], variables)


def require_apart(environment: Environment) -> None:
    """Refuse an environment whose resources the deploy role of another one could use, or the other way round.

    A deploy role may use what is called STACK-NAME-*, so that a new service needs no new policy. Without a repository
    on GitHub there are no such roles.

    Raises:
        Failure: the name of one begins the other's, in one account.
    """
    for other in _others(environment):
        pair = sorted((environment, other), key=lambda each: len(each.prefix))
        if not pair[1].prefix.startswith(f"{pair[0].prefix}-"):
            continue
        short, long = pair
        raise Failure(
            f"{short.name} and {long.name} cannot have deploy roles in one account.",
            evidence=[
                f"the deploy role of {short.name} may use {short.prefix}-*, and so what belongs to {long.prefix}"
            ],
            next="give the new one another stack or account_id in its .tfvars; or remove github_repository from both",
            code=ExitCode.PREFLIGHT,
        )


def load_ahead(*services: str) -> None:
    """Load what the environments and some services of AWS need, before it is known which: half a second."""
    if not packages.CLOUD.current():  # a verb installs them
        return
    with suppress(Exception):  # such as a profile that is not here: the action that needs it reports it
        import hcl2

        hcl2.loads("")
        for each in services:
            client(each, "us-east-1")


def _others(environment: Environment) -> Iterator[Environment]:
    """Yield the other environments of the same account, if GitHub deploys to one of the two."""
    for name in known():
        with suppress(Failure):  # a file that cannot be read is reported by its own environment's verbs
            other = load(name)
            github = other.variables.get("github_repository") or environment.variables.get("github_repository")
            if github and name != environment.name and other.account == environment.account:
                yield other


def _read(path: Path) -> dict[str, Any]:
    packages.CLOUD.ensure()
    import hcl2

    options = hcl2.SerializationOptions(with_comments=False, strip_string_quotes=True)
    try:
        return dict(hcl2.loads(path.read_text(encoding="utf-8"), serialization_options=options))
    except Exception as error:  # the parser raises whatever its grammar library does
        message = " ".join(str(error).split())
        raise Failure(
            f"{path.relative_to(PROJECT)} is not a valid file of Terraform variables.",
            evidence=[message[:200]],
            next=f"terraform fmt {path.relative_to(PROJECT)} shows where",
            code=ExitCode.PREFLIGHT,
        ) from error
