"""Whole environments, made from a copy of terraform/ as the provider's stand-in makes them, in seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from stackhand.infrastructure.services import services, tfvars
from stackhand.project import environments
from tests import standin
from tests.checkout import ROOT
from tests.oracles import state
from tests.oracles.state import State

TIMEOUT = 300.0
GITHUB = {
    "github_repository": "acme/shop",
    "github_ids": {"owner": "123", "repository": "456"},
    "github_provider_arn": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
}
LONGEST = {"stack": "acme-billing", "environment": "preproductio", "region": "ap-southeast-2"}
"""What a stack and an environment may be called at most, and the longest name of a region."""
IMAGE = "123456789012.dkr.ecr.ap-southeast-2.amazonaws.com/python:3"
OTHER = {"COMPOSE_PROJECT_NAME": "shop-staging", "POSTGRES_USER": "keeper", "SITE": "https://shop.example"}
"""What the small one's services are resolved with: those of terraform/tests/other, with a worker."""
SMALL: dict[str, Any] = {
    **GITHUB,
    **LONGEST,
    "nat": "none",
    "placeholder_image": IMAGE,
    "alarm_email": "a@example.com",
    "certificate_arn": "arn:aws:acm:ap-southeast-2:123456789012:certificate/00000000-0000-0000-0000-000000000000",
    "domain": "status.example.com",
}
SUBNETS = {
    "public": ["subnet-0000001a", "subnet-0000001b"],
    "private": ["subnet-0000002a"],
    "data": ["subnet-0000003a", "subnet-0000003b"],
}
"""Those of an existing network: the last letter is the zone's (tests/standin.py)."""
EXISTING: dict[str, Any] = {**GITHUB, "vpc_id": standin.VPC, "subnets": SUBNETS}
PROFILES = {"small": SMALL, "staging": GITHUB, "single": GITHUB, "existing": EXISTING}
"""Environments that together have each resource of terraform/: staging, one without NAT, and each kind of service in a
network of its own and in an existing one, which has no `nat`."""
HERE = Path(__file__).parent
SERVICES: dict[str, tuple[Path, dict[str, str]]] = {
    "small": (ROOT / "terraform" / "tests" / "other", OTHER),
    "single": (HERE / "images", {}),
    "existing": (HERE / "images", {}),
}
"""Where their Compose files are, and what these are resolved with; the others have those of this repository."""


class Refused(Exception):  # noqa: N818 - as a provider does
    """Terraform does not apply it."""


def copy(folder: Path, terraform: str, variables: Mapping[str, str]) -> Path:
    """Copy terraform/ into a folder, initialised, with the services of each profile; return where it is."""
    shutil.copytree(ROOT / "terraform", folder / "terraform", ignore=shutil.ignore_patterns(".terraform", "tests"))
    (folder / "terraform" / "local_override.tf").write_text('terraform {\n  backend "local" {}\n}\n', encoding="utf-8")
    for name, more in PROFILES.items():
        file = folder / f"{name}.tfvars.json"
        root, given = SERVICES.get(name) or (ROOT, services.variables_of(environments.load(name)))
        tfvars.write(file, root, given)
        written = {**json.loads(file.read_text(encoding="utf-8")), **more}
        file.write_text(json.dumps(written), encoding="utf-8")
        shutil.copy2(ROOT / "environments" / "staging.tfvars", folder / f"{name}.tfvars")
    run(folder / "terraform", terraform, variables, "init", "-input=false")
    return folder / "terraform"


def apply(folder: Path, terraform: str, variables: Mapping[str, str], profile: str) -> State:
    """Return what Terraform makes of a copy.

    Raises:
        Refused: it says why not.
    """
    file = folder / f"{profile}.tfstate"
    given = [f"-var-file={folder.parent}/{profile}.tfvars", f"-var-file={folder.parent}/{profile}.tfvars.json"]
    run(
        folder,
        terraform,
        variables,
        "apply",
        "-input=false",
        "-auto-approve",
        "-refresh=false",
        f"-state={file}",
        *given,
    )
    return state.read(file)


def run(folder: Path, terraform: str, variables: Mapping[str, str], *words: str) -> str:
    """Run Terraform, and return what it says.

    Raises:
        Refused: it failed.
    """
    done = subprocess.run(
        [terraform, *words, "-no-color"],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise Refused("\n".join([*done.stdout.splitlines()[-3:], *done.stderr.splitlines()[:30]]))
    return done.stdout


class Mutation(msgspec.Struct, frozen=True):
    """One mistake in one line.

    Args:
        file: of terraform/.
        before: a text that is there once, and what stands in its place.
        after: that.
        aws: what AWS would say or do.
        shows: a part of what an oracle says of it.
        profile: where it shows.
    """

    file: str
    before: str
    after: str
    aws: str
    shows: str = ""
    profile: str = "small"

    def into(self, folder: Path) -> None:
        """Make the mistake in a copy.

        Raises:
            ValueError: its text is not there once.
        """
        path = folder / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ValueError(f"{self.file} has {text.count(self.before)} times: {self.before}")
        path.write_text(text.replace(self.before, self.after), encoding="utf-8")


def mutations() -> list[Mutation]:
    """Return the seeded mistakes."""
    text = Path(__file__).with_name("mutations.toml").read_bytes()
    return msgspec.toml.decode(text, type=dict[str, list[Mutation]])["mistakes"]
