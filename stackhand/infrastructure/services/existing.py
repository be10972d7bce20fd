"""What an environment's file names instead of having it made: read by Terraform, never changed or deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stackhand.aws.errors import code_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.documents import TerraformPlan
from stackhand.infrastructure.services.differences import CloudFinding
from stackhand.infrastructure.services.services import CloudServices
from stackhand.project.environments import Environment
from stackhand.project.stack.model import Stack
from stackhand.project.stack.xaws import Fargate, Managed

DATABASES, CACHES, REPOSITORIES = "existing_databases", "existing_caches", "existing_repositories"
"""The variables that are by service."""
ALONE = {"vpc_id": "network", "load_balancer": "load balancer", "zone": "zone", "certificate_domain": "certificate"}
"""Those that are of the whole environment, and what each names."""
KINDS = {DATABASES: "database", CACHES: "cache", REPOSITORIES: "repository"}
MANAGED = {DATABASES: "rds", CACHES: "elasticache"}


GITHUB = "token.actions.githubusercontent.com"
PROVIDER = "aws_iam_openid_connect_provider"
"""What Terraform makes for GitHub; an account can have one of a name only."""


class ExistingResource(msgspec.Struct, frozen=True):
    """Something that is used and not made.

    Args:
        kind: network, load balancer, zone, certificate, database, cache or repository.
        name: as AWS knows it.
        service: that it is for; empty where it is for all.
    """

    kind: str
    name: str
    service: str = ""

    def line(self) -> str:
        """Return it as people read it."""
        return f"{self.kind} {self.name}{f' for {self.service}' if self.service else ''}"


def of(environment: Environment) -> list[ExistingResource]:
    """Return all that an environment names."""
    variables = environment.variables
    alone = [ExistingResource(kind, str(variables[key])) for key, kind in ALONE.items() if variables.get(key)]
    return [
        *alone,
        *(
            ExistingResource(kind, _name(each), service)
            for key, kind in KINDS.items()
            for service, each in by_service(environment, key).items()
        ),
    ]


def by_service(environment: Environment, variable: str) -> dict[str, Any]:
    """Return what one of the variables says, by service; a name in quotes is one, too."""
    given = environment.variables.get(variable) or {}
    return {str(name).strip('"'): each for name, each in given.items()} if isinstance(given, Mapping) else {}


def _name(given: Any) -> str:
    """Return the identifier: `{instance = "orders", ...}`, or the name alone."""
    if not isinstance(given, Mapping):
        return str(given)
    keys = ("instance", "cluster", "replication_group", "serverless")
    values = {str(key).strip('"'): value for key, value in given.items()}
    return next((str(values[key]) for key in keys if values.get(key)), "(unnamed)")


def passwords(environment: Environment, stack: Stack, cloud: CloudServices) -> set[str]:
    """Return the secret variables whose values are where the owner of a database or cache keeps them.

    As terraform/existing_data.tf chooses them: the one that its own service has, or the one called after it.
    """
    variables = set()
    for name in (*by_service(environment, DATABASES), *by_service(environment, CACHES)):
        if name in stack.services:
            values = sorted(cloud.resolved[name]["environment"].items())
            own = [secret for _, value in values if (secret := cloud.whole(value))]
            variables.add(own[0] if own else f"{name.upper()}_PASSWORD")
    return variables


def findings(environment: Environment, stack: Stack) -> Iterator[CloudFinding]:
    """Yield the services that these variables name and that are none, or none of that kind."""
    for key, kind in KINDS.items():
        fits = {name for name, each in stack.services.items() if _fits(key, each.aws, built=bool(each.build))}
        for name in by_service(environment, key).keys() - fits:
            message = f"{key} has {name}, which is no service with a {kind} of its own"
            remedy = f"one of {', '.join(sorted(fits))}" if fits else f"remove {key}"
            yield CloudFinding("refused", f"environments/{environment.name}.tfvars", message, remedy)


def _fits(key: str, aws: object, *, built: bool) -> bool:
    if key in MANAGED:
        return isinstance(aws, Managed) and aws.managed == MANAGED[key]
    return isinstance(aws, Fargate) and built


def refuse_second_provider(environment: Environment, planned: TerraformPlan) -> None:
    """Refuse a plan that makes the identity provider for GitHub where the account has it already.

    Raises:
        Failure: with the line that names the one there is.
    """
    made = [each for each in planned.resource_changes if each.type == PROVIDER]
    if environment.emulated or not any("create" in each.change.actions for each in made):
        return
    try:
        answer = environment.client("iam").list_open_id_connect_providers()
    except Exception as error:
        if code_of(error) in {"AccessDenied", "AccessDeniedException"}:  # who may plan need not be allowed to ask
            return
        raise
    arns = [str(each["Arn"]) for each in answer["OpenIDConnectProviderList"]]
    if there := next((arn for arn in arns if arn.endswith(f"/{GITHUB}")), ""):
        raise Failure(
            f"The account {environment.account} has GitHub's identity provider already, and can have one only.",
            evidence=[there, "another environment or project has made it"],
            next=f'put github_provider_arn = "{there}" into environments/{environment.name}.tfvars, '
            "then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
