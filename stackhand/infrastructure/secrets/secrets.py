"""What only you can give an environment: values in its file, and secrets in SSM (secret_values.py stores them)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stackhand.aws import session
from stackhand.aws.errors import CANNOT_TELL, code_of, failure
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.documents import TerraformPlan, Values
from stackhand.infrastructure.services.services import required
from stackhand.project import schema, values
from stackhand.project.environments import FOLDER, Environment
from stackhand.system.roots import PROJECT

OUTPUT = "given_secrets"
"""Terraform's output: the variable, and the name of its parameter."""
FILTERED = 50
"""Names in one filter of DescribeParameters, at most."""
OF_TERRAFORM = frozenset({"COMPOSE_PROJECT_NAME", "ENVIRONMENT", "METRICS_EMF"})
"""The variables that it sets itself."""


def check(environment: Environment, root: Path = PROJECT) -> None:
    """Check the `settings` of an environment's file against `.env.example` and the Compose file.

    Raises:
        Failure: some are wrong or missing; all are named.
    """
    given = {str(key): _text(value) for key, value in (environment.variables.get("settings") or {}).items()}
    problems = [*_wrong(environment, given, root), *_missing(given, root)]
    if problems:
        raise Failure(
            f"{_file(environment)} has {console.counted(len(problems), 'invalid setting')}.",
            evidence=problems,
            next=f"fix `settings` in {_file(environment)}, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )


def missing(environment: Environment, given: Mapping[str, str]) -> dict[str, str] | None:
    """Return those of the given secrets that have no parameter; None when AWS does not let us look.

    Raises:
        Failure: AWS cannot be asked.
    """
    if not given:
        return {}
    try:
        there = session.parameter_versions(environment.client("ssm"), [*given.values()])
    except Exception as error:
        if code_of(error) in CANNOT_TELL:
            return None
        raise failure("The given secrets cannot be checked", error, ExitCode.PREFLIGHT) from error
    return {variable: name for variable, name in given.items() if name not in there}


def require(environment: Environment, given: Mapping[str, str]) -> None:
    """Go on only when every given secret has a value.

    Raises:
        Failure: some have none; each with the command that gives it one.
    """
    lacking = missing(environment, given)
    if lacking and environment.emulated:
        _make_up(environment, lacking)
    elif lacking:
        raise Failure(
            f"{environment.name} has no value for {', '.join(lacking)}, which only you can provide.",
            evidence=[put(environment, name) for name in lacking.values()],
            next=f"run the above and type or pipe each value; then ./inv deploy -e {environment.name}",
            code=ExitCode.PREFLIGHT,
        )


def put(environment: Environment, name: str) -> str:
    """Return the command that stores a secret, which reads the value, so that it is in no history of a shell."""
    return f"./inv secrets.set -e {environment.name} {name.rpartition('/')[2]}"


def _make_up(environment: Environment, lacking: Mapping[str, str]) -> None:
    """Have something in the place of each in an emulator, which nobody gives anything."""
    entries = schema.read(PROJECT / ".env.example")
    for variable, name in lacking.items():
        schemes = values.schemes_of(entries[variable].words) if variable in entries else None
        value = "given-in-a-rehearsal" if schemes is None else f"{(*schemes, 'https')[0]}://rehearsal.invalid"
        environment.client("ssm").put_parameter(Name=name, Value=value, Type="String")


def of(state: Values) -> dict[str, str]:
    """Return the given secrets of an environment, from what Terraform's state has."""
    return dict(state.known().get(OUTPUT, {}))


def keys(environment: Environment, given: Mapping[str, str]) -> list[str]:
    """Return what encrypts the given secrets that are there: ARNs, ids or aliases of keys.

    Raises:
        Failure: AWS cannot be asked.
    """
    secret: list[str] = []
    names = [*given.values()]
    try:
        for start in range(0, len(names), FILTERED):
            chosen = [{"Key": "Name", "Option": "Equals", "Values": names[start : start + FILTERED]}]
            pages = environment.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=chosen)
            secret += [each["KeyId"] for page in pages for each in page["Parameters"] if "KeyId" in each]
    except Exception as error:
        raise failure("The given secrets cannot be checked", error, ExitCode.PREFLIGHT) from error
    return secret


def left(environment: Environment, given: Mapping[str, str]) -> list[str]:
    """Return what there is to say of the given secrets when everything else is gone."""
    if not given:
        return []
    command = f"aws ssm delete-parameters --region {environment.region} --names {' '.join(given.values())}"
    return [f"given secrets in SSM, until you delete them: {command}"]


def forgotten(planned: TerraformPlan, given: Mapping[str, str]) -> list[str]:
    """Return the addresses of parameters that Terraform made once, and would delete now that they are given."""
    names = set(given.values())
    return [
        each.address
        for each in planned.resource_changes
        if each.type == "aws_ssm_parameter"
        and each.change.actions == ["delete"]
        and each.change.before.get("name") in names
    ]


def _wrong(environment: Environment, given: Mapping[str, str], root: Path) -> Iterator[str]:
    entries = schema.read(root / ".env.example")
    for key, value in given.items():
        entry = entries.get(key)
        if entry and entry.kind == "secret":
            name = f"/{environment.stack}/{environment.name}/{key}"
            how = put(environment, name) if entry.given else "Terraform generates it"
            yield f"{key} is a secret and not read here: {how}"
        elif entry and (expected := values.CHECKS[entry.kind](value, entry.words)):
            yield f"{key} must be {expected}"


def _missing(given: Mapping[str, str], root: Path) -> Iterator[str]:
    """What Compose insists on has no default; where `.env.example` says that it is no secret, the file has to."""
    entries = schema.read(root / ".env.example")
    for name in sorted(required(root, on_aws=True) & entries.keys()):
        if entries[name].kind != "secret" and name not in OF_TERRAFORM and not given.get(name):
            yield f"{name} has no value, but the Compose file requires one"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _file(environment: Environment) -> str:
    return str((FOLDER / f"{environment.name}.tfvars").relative_to(PROJECT))
