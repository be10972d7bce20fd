"""Terraform with the genuine provider, or with one that knows its names and types; and an AWS for its state."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import moto.core.models  # noqa: F401 - it adds itself to botocore: before a session of ours is made
import pytest
from botocore.exceptions import ClientError

from stackhand.infrastructure.services import services, tfvars
from stackhand.project import environments
from tests import moto_server, standin
from tests.checkout import ROOT, Checkout, Said

WITHIN = 20.0
"""Seconds in which the genuine providers must be had, or we do without: a registry that is far is none."""
TIMEOUT = 300.0
"""Seconds for one command, on a machine that is busy with other tests."""
PROVIDERS = """
terraform {
  required_providers {
    aws    = { source = "hashicorp/aws", version = "~> 6.69" }
    random = { source = "hashicorp/random", version = "~> 3.7" }
  }
}
"""


BUCKET = "stackhand-staging-123456789012-eu-west-1"
GITHUB = {
    "github_repository": "acme/shop",
    "github_ids": {"owner": "123", "repository": "456"},
    "github_provider_arn": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
}


@pytest.fixture(scope="session")
def terraform() -> str:
    """The command that runs Terraform: the genuine one where its providers can be had, else a stand-in's."""
    if not shutil.which("terraform"):
        pytest.skip("there is no terraform on PATH")
    if given := os.environ.get("STACKHAND_TERRAFORM"):
        return given
    if _providers_can_be_had():
        return "terraform"
    if stand_in := standin.program():
        return str(stand_in)
    pytest.skip("Terraform's providers cannot be had here, and STACKHAND_TERRAFORM names nothing in their place")


def _providers_can_be_had() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "main.tf").write_text(PROVIDERS)
        try:
            words = ["terraform", f"-chdir={folder}", "init", "-input=false"]
            return subprocess.run(words, capture_output=True, timeout=WITHIN, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False


@dataclass(frozen=True)
class Cloud:
    """A checkout, and an AWS that keeps its state: moto, whose account is that of staging."""

    checkout: Checkout
    environment: dict[str, str]

    def inv(self, *words: str, check: bool = True, **more: str) -> Said:
        return self.checkout.inv(*words, check=check, timeout=TIMEOUT, **{**self.environment, **more})

    def play(self, name: str, **variables: Any) -> Said:
        """Run a playbook as a person without ./inv would."""
        # as a module, so that the copy's own stackhand is what it imports
        words = [sys.executable, "-m", "ansible.cli.playbook", f"playbooks/{name}.yml", "-e", json.dumps(variables)]
        done = subprocess.run(
            words,
            cwd=self.checkout.path,
            env={**os.environ, **self.environment, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def s3(self) -> Any:
        return self.client("s3")

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name="eu-west-1",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def bootstrap(self) -> None:
        """Have the bucket of staging, as ./inv bootstrap makes it, without the seconds it takes."""
        found = {"Bucket": BUCKET, "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
        with contextlib.suppress(ClientError):
            self.s3().create_bucket(**found)


@pytest.fixture(scope="session")
def cloud(terraform: str) -> Iterator[Cloud]:
    """A copy of the checkout whose AWS is a moto of its own."""
    folder = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    with moto_server.serving() as address:
        environment = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_EC2_METADATA_DISABLED": "true",
            "STACKHAND_TERRAFORM": terraform,
        }
        yield Cloud(Checkout.make(folder / "shop"), environment)
    shutil.rmtree(folder, ignore_errors=True)


def given_as(variables: dict[str, Any]) -> list[str]:
    """Return variables as Terraform's arguments."""
    return [f"-var={name}={each if isinstance(each, str) else json.dumps(each)}" for name, each in variables.items()]


@dataclass
class Module:
    """A copy of terraform/ with a state of its own on disk, to plan with other variables and Compose files."""

    path: Path
    terraform: str
    environment: dict[str, str]

    def run(self, *words: str, check: bool = True) -> Said:
        done = subprocess.run(
            [self.terraform, *words],
            cwd=self.path,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return Said(done.returncode, done.stdout, done.stderr)

    def files(self, environment: str, compose: str = "") -> list[str]:
        """Return the files of variables, the one with the services written for this environment."""
        written = self.path / "services.tfvars.json"
        tfvars.write(written, self.path.parent / compose, services.variables_of(environments.load(environment)))
        return [f"-var-file={self.path.parent}/environments/{environment}.tfvars", f"-var-file={written}"]

    def plan(
        self,
        environment: str,
        *,
        afresh: bool = False,
        state: str = "",
        more: Sequence[str] = (),
        compose: str = "",
        **variables: Any,
    ) -> dict[str, Any]:
        """Return the plan of an environment as JSON; `afresh`, as if there were nothing yet; or from another state.

        `compose` is another folder with a Compose file, beside terraform/.
        """
        given = [
            f"-var={name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in variables.items()
        ]
        other = [f"-state={'nothing.tfstate' if afresh else state}"] if afresh or state else []
        self.run("plan", "-input=false", "-out=plan", *self.files(environment, compose), *other, *given, *more)
        return dict(self.run("show", "-json", "plan").json)


@pytest.fixture(scope="session")
def module(terraform: str, request: pytest.FixtureRequest) -> Iterator[Module]:
    """A copy of terraform/ and of what it reads, initialised; the genuine provider asks an AWS who it is."""
    environment = request.getfixturevalue("cloud").environment if terraform == "terraform" else {}
    folder = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    shutil.copytree(ROOT / "terraform", folder / "terraform", ignore=shutil.ignore_patterns(".terraform"))
    shutil.copytree(ROOT / "environments", folder / "environments")
    for name in ("docker-compose.yml", ".env.example"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "terraform" / "local_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    found = Module(folder / "terraform", terraform, environment)
    found.run("init", "-input=false")
    yield found
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def staging(module: Module) -> dict[str, Any]:
    return module.plan("staging", afresh=True)


@pytest.fixture(scope="session")
def production(module: Module) -> dict[str, Any]:
    return module.plan("production", afresh=True, **GITHUB)


@pytest.fixture(scope="session")
def applied(module: Module) -> dict[str, Any]:
    """The state after staging was applied, with all that is known only then; workflows may deploy there."""
    module.run("apply", "-input=false", "-auto-approve", *module.files("staging"), *given_as(GITHUB))
    return dict(module.run("show", "-json").json["values"])
