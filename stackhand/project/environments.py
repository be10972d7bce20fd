"""The environments in the cloud: `terraform/environments/NAME.tfvars`, for all that is not Terraform."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stackhand import ROOT
from stackhand.aws.session import client
from stackhand.cli import packages
from stackhand.cli.failure import ExitCode, Failure

FOLDER = ROOT / "terraform" / "environments"
EMULATOR = "TF_VAR_aws_endpoint"
NEEDED = ("stack", "region", "account_id")


@dataclass(frozen=True)
class Environment:
    """One place where the stack runs in the cloud.

    Args:
        name: staging, production, rehearsal: what its file is called.
        stack: the prefix of its resources' names.
        region: of AWS.
        account: the twelve digits of the account it belongs to; nothing is done in another.
        variables: all that its file says, as Terraform reads it.
    """

    name: str
    stack: str
    region: str
    account: str
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def emulated(self) -> bool:
        """Whether an emulator stands in for AWS: `./inv rehearse` tells Terraform so, and thereby us."""
        return bool(os.environ.get(EMULATOR))

    @property
    def bucket(self) -> str:
        """The S3 bucket with Terraform's state, the lease and the releases; its name must be unique in the world."""
        return f"{self.stack}-{self.name}-{self.account}-{self.region}"

    def client(self, service: str) -> Any:
        """Return a boto3 client that gives up in bounded time; `AWS_ENDPOINT_URL` is honoured."""
        return client(service, self.region)


def known() -> list[str]:
    """Return the names of the environments there are files for."""
    return sorted(path.stem for path in FOLDER.glob("*.tfvars"))


def load(name: str) -> Environment:
    """Read one environment.

    Raises:
        Failure: there is no such file, it cannot be read, or it lacks what everything needs.
    """
    path = FOLDER / f"{name}.tfvars"
    if name not in known():
        raise Failure(
            f"There is no environment {name!r}.",
            evidence=[f"known: {', '.join(known()) or 'none'}"],
            next=f"use one of them, or create {path.relative_to(ROOT)}",
            code=ExitCode.USAGE,
        )
    variables = _read(path)
    missing = [key for key in NEEDED if not isinstance(variables.get(key), str) or not variables[key]]
    if missing:
        raise Failure(
            f"{path.relative_to(ROOT)} lacks {' and '.join(missing)}.",
            evidence=["each is a string in double quotes"],
            next=f"add it to {path.relative_to(ROOT)}",
            code=ExitCode.PREFLIGHT,
        )
    return Environment(name, variables["stack"], variables["region"], variables["account_id"], variables)


def _read(path: Path) -> dict[str, Any]:
    packages.CLOUD.ensure()
    import hcl2

    options = hcl2.SerializationOptions(with_comments=False, strip_string_quotes=True)
    try:
        return dict(hcl2.loads(path.read_text(encoding="utf-8"), serialization_options=options))
    except Exception as error:  # the parser raises whatever its grammar library does
        message = " ".join(str(error).split())
        raise Failure(
            f"{path.relative_to(ROOT)} is not a valid file of Terraform variables.",
            evidence=[message[:200]],
            next=f"terraform fmt {path.relative_to(ROOT)} shows where",
            code=ExitCode.PREFLIGHT,
        ) from error
