"""Values that have a secret in them, such as a URL with a password: a deploy puts them together in SSM.

Terraform makes their parameters and knows what they are made of, and no value: see its output `compositions`. As in
Compose, a secret is put in as it is: one with letters that end a password in a URL has to be percent-encoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from stackhand.aws.errors import as_failure
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment

OUTPUT = "compositions"
"""Terraform's output."""
AT_ONCE = 10
"""Names in one call of GetParameters, at most."""
PARTS_OF_AN_ARN = 7
"""Of a secret, between colons; ECS takes more of them, for a key of its JSON and a version."""


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
        """Return the value.

        Args:
            secrets: values by parameter.
        """
        names = "|".join(map(re.escape, self.secrets))
        return re.sub(rf"{{({names})}}", lambda match: secrets[self.secrets[match[1]]], self.text)


def write(environment: Environment, outputs: Mapping[str, Any]) -> list[str]:
    """Store each value whose parts have changed, and return the parameters that were written.

    Args:
        environment: which.
        outputs: Terraform's.

    Raises:
        Failure: a part has no value, or AWS refuses.
    """
    compositions = msgspec.convert(outputs.get(OUTPUT, []), list[Composition])
    compositions = [_by_names(each) for each in compositions]
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
        _put(ssm, each, each.value(stored), environment)
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
    key, stage, version = (*parts[PARTS_OF_AN_ARN:], "", "", "")[:3]
    more = {name: value for name, value in (("VersionStage", stage), ("VersionId", version)) if value}
    answer = environment.client("secretsmanager").get_secret_value(SecretId=":".join(parts[:PARTS_OF_AN_ARN]), **more)
    text = str(answer.get("SecretString") or "")
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        raise Failure(
            f"{':'.join(parts[:PARTS_OF_AN_ARN])} has no key {key}.",
            evidence=["a value is composed of it, and its text is no JSON object with that key"],
            next=f"correct password in environments/{environment.name}.tfvars, then ./inv deploy -e {environment.name}",
            code=ExitCode.PREFLIGHT,
        ) from None


def _put(ssm: Any, composition: Composition, value: str, environment: Environment) -> None:
    """Store a value; an error of AWS is told without it."""
    from stackhand.aws.exceptions import ClientError

    how = {"Type": "String"} if environment.emulated else {"Type": "SecureString", "KeyId": composition.key}
    with as_failure(f"{composition.parameter} cannot be stored"):
        try:
            ssm.put_parameter(
                Name=composition.parameter, Value=value, Overwrite=True, Tier="Intelligent-Tiering", **how
            )
        except ClientError as error:
            details = error.response["Error"]
            details["Message"] = str(details.get("Message", "")).replace(value, "the value")
            raise
