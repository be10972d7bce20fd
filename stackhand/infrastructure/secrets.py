"""What only you can give an environment: values in its file, and secrets in SSM (secret_values.py stores them).

Values that have a secret in them, such as a URL with a password, a deploy puts together in SSM: Terraform makes their
parameters and knows what they are made of, and no value (its output `compositions`). As in Compose, a secret is put in
as it is: one with letters that end a password in a URL has to be percent-encoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stackhand.aws import session
from stackhand.aws.errors import CANNOT_TELL, as_failure, code_of, failure
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.documents import TerraformPlan, Values
from stackhand.infrastructure.services.services import required
from stackhand.project import schema, values
from stackhand.project.environments import Environment
from stackhand.system.roots import PROJECT

OUTPUT = "given_secrets"
"""Terraform's output: the variable, and the name of its parameter."""
COMPOSITIONS = "compositions"
"""Terraform's output: what each value that has secrets in it is made of."""
AT_ONCE = 10
"""Names in one call of GetParameters, at most."""
PARTS_OF_AN_ARN = 7
"""Of a secret, between colons; ECS takes more of them, for a key of its JSON and a version."""
FILTERED = 50
"""Names in one filter of DescribeParameters, at most."""
OF_TERRAFORM = frozenset({"COMPOSE_PROJECT_NAME", "ENVIRONMENT", "METRICS_EMF"})
"""The variables that it sets itself."""


def check(environment: Environment, root: Path = PROJECT) -> None:
    """Check the `settings` of an environment's file against `.env.example` and the Compose file.

    Raises:
        Failure: some are wrong or missing; all are named.
    """
    settings = environment.variables.get("settings") or {}
    given = {str(key): str(each).lower() if isinstance(each, bool) else str(each) for key, each in settings.items()}
    if problems := [*_problems(environment, given, root)]:
        file = f"environments/{environment.name}.tfvars"
        raise Failure(
            f"{file} has {console.counted(len(problems), 'invalid setting')}.",
            evidence=problems,
            next=f"fix `settings` in {file}, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )


def missing(environment: Environment, given: Mapping[str, str]) -> dict[str, str]:
    """Return those of the given secrets that have no parameter; none when AWS does not let us look.

    Raises:
        Failure: AWS cannot be asked.
    """
    if not given:
        return {}
    try:
        there = session.parameter_versions(environment.client("ssm"), [*given.values()])
    except Exception as error:
        if code_of(error) in CANNOT_TELL:
            return {}
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
    found: list[str] = []
    names = [*given.values()]
    with as_failure("The given secrets cannot be checked", ExitCode.PREFLIGHT):
        for start in range(0, len(names), FILTERED):
            chosen = [{"Key": "Name", "Option": "Equals", "Values": names[start : start + FILTERED]}]
            pages = environment.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=chosen)
            found += [each["KeyId"] for page in pages for each in page["Parameters"] if "KeyId" in each]
    return found


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


def _problems(environment: Environment, given: Mapping[str, str], root: Path) -> Iterator[str]:
    entries = schema.read(root / ".env.example")
    for key, value in given.items():
        entry = entries.get(key)
        if entry and entry.kind == "secret":
            how = put(environment, key) if entry.given else "Terraform generates it"
            yield f"{key} is a secret and not read here: {how}"
        elif entry and (expected := values.CHECKS[entry.kind](value, entry.words)):
            yield f"{key} must be {expected}"
    # What Compose insists on has no default; where `.env.example` says that it is no secret, the file has to have it.
    for name in sorted(required(root, on_aws=True) & entries.keys()):
        if entries[name].kind != "secret" and name not in OF_TERRAFORM and not given.get(name):
            yield f"{name} has no value, but the Compose file requires one"


class Composition(msgspec.Struct, frozen=True):
    """A value that has secrets in it.

    Args:
        parameter: that it is stored in.
        key: the ARN of what encrypts it.
        text: the value, with {NAME} in place of each secret.
        secrets: what holds these, by NAME: parameters, or the ARN of a parameter or secret that its owner has made.
    """

    parameter: str
    key: str
    text: str
    secrets: dict[str, str]

    def value(self, secrets: Mapping[str, str]) -> str:
        """Return the value, given those of the secrets by parameter."""
        names = "|".join(map(re.escape, self.secrets))
        return re.sub(rf"{{({names})}}", lambda match: secrets[self.secrets[match[1]]], self.text)


def write_composed(environment: Environment, outputs: Mapping[str, Any]) -> list[str]:
    """Store each value of Terraform's outputs whose parts have changed, and return the parameters that were written.

    Raises:
        Failure: a part has no value, or AWS refuses.
    """
    compositions = [_by_names(each) for each in msgspec.convert(outputs.get(COMPOSITIONS, []), list[Composition])]
    names = {name for each in compositions for name in (each.parameter, *each.secrets.values())}
    ssm = environment.client("ssm")
    stored: dict[str, str] = {}
    with as_failure("The secrets that values are composed of cannot be read"):
        parameters = sorted(name for name in names if not name.startswith("arn:"))
        for start in range(0, len(parameters), AT_ONCE):
            answer = ssm.get_parameters(Names=parameters[start : start + AT_ONCE], WithDecryption=True)
            stored |= {each["Name"]: each["Value"] for each in answer["Parameters"]}
        for arn in sorted(names - {*parameters}):
            stored[arn] = _of_secrets_manager(environment, arn)
    if missing := sorted(names - stored.keys()):
        raise Failure(
            "Values cannot be composed of secrets that are not there.",
            evidence=[f"there is no parameter {name}" for name in missing],
            next=f"./inv secrets.list -e {environment.name}; then ./inv deploy -e {environment.name}",
            code=ExitCode.PREFLIGHT,
        )
    changed = [each for each in compositions if stored[each.parameter] != each.value(stored)]
    for each in changed:
        store(ssm, each.parameter, each.value(stored), encryption(environment, each.key))
    return [each.parameter for each in changed]


def _by_names(composition: Composition) -> Composition:
    """Return a composition whose parameters are named as SSM names them in an answer, also where their ARN is given."""
    named = {
        name: re.sub(r"^arn:[^:]+:ssm:[^:]+:[^:]+:parameter", "", where) for name, where in composition.secrets.items()
    }
    return msgspec.structs.replace(composition, secrets=named)


def _of_secrets_manager(environment: Environment, where: str) -> str:
    """Return a secret of Secrets Manager: all of its text, or a key of its JSON (`ARN:KEY:STAGE:VERSION`, as for ECS).

    Raises:
        Failure: there is no such key.
    """
    parts = where.split(":")
    arn, (key, stage, version) = ":".join(parts[:PARTS_OF_AN_ARN]), (*parts[PARTS_OF_AN_ARN:], "", "", "")[:3]
    more = {name: value for name, value in (("VersionStage", stage), ("VersionId", version)) if value}
    answer = environment.client("secretsmanager").get_secret_value(SecretId=arn, **more)
    text = str(answer.get("SecretString") or "")
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        raise Failure(
            f"{arn} has no key {key}.",
            evidence=["a value is composed of it, and its text is no JSON object with that key"],
            next=f"correct password in environments/{environment.name}.tfvars, then ./inv deploy -e {environment.name}",
            code=ExitCode.PREFLIGHT,
        ) from None


def store(ssm: Any, name: str, value: str, how: Mapping[str, str]) -> int:
    """Store a value as `encryption` says, and return its version; an error of AWS is told without the value."""
    from stackhand.aws.exceptions import ClientError

    with as_failure(f"{name} cannot be stored"):
        try:
            answer = ssm.put_parameter(Name=name, Value=value, Overwrite=True, Tier="Intelligent-Tiering", **how)
        except ClientError as error:
            details = error.response["Error"]
            details["Message"] = str(details.get("Message", "")).replace(value, "the value")
            raise
    return int(answer["Version"])


def encryption(environment: Environment, key: str) -> dict[str, str]:
    """Return how a value is stored: encrypted with a key, but in no emulator, which hands tasks the encrypted text."""
    return {"Type": "String"} if environment.emulated else {"Type": "SecureString", "KeyId": key}
