"""Asking a policy as IAM would: whether an action on a resource is allowed, in what AWS knows of the request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

Statement = Mapping[str, Any]


def statements(policy: str) -> list[Statement]:
    """Return a policy's statements, all of which allow."""
    found: list[Statement] = json.loads(policy)["Statement"]
    assert {each["Effect"] for each in found} == {"Allow"}
    return found


def of_service(found: Sequence[Statement], service: str) -> list[Statement]:
    """Return those of a resource's policy that are about an AWS service."""
    return [each for each in found if service in listed(each["Principal"].get("Service", []))]


def listed(value: Any) -> list[Any]:
    """Return what may be one value or many as many."""
    return value if isinstance(value, list) else [value]


def allowed(found: Sequence[Statement], action: str, resource: str, **context: str) -> bool:
    """Return whether one statement allows it all.

    Args:
        found: the statements.
        action: such as kms:Decrypt.
        resource: its ARN.
        context: keys of the request; `RequestTag` and `ResourceTag` hold an environment's name and mean both tags.
    """
    keys = {key.replace("__", ":"): value for key, value in context.items() if not key.endswith("Tag")}
    for kind in ("RequestTag", "ResourceTag"):
        if kind in context:
            keys |= {f"aws:{kind}/Stack": "stackhand", f"aws:{kind}/Environment": context[kind]}
    return any(
        any(fnmatchcase(action.lower(), each.lower()) for each in listed(statement["Action"]))
        and any(fnmatchcase(resource, each) for each in listed(statement["Resource"]))
        and _fits(statement.get("Condition", {}), keys)
        for statement in found
    )


def assumable(found: Sequence[Statement], provider: str, **claims: str) -> bool:
    """Return whether STS gives a role to who shows a token of GitHub's.

    Args:
        found: the statements of the role's trust policy.
        provider: that signed the token.
        claims: of the token.
    """
    keys = {f"token.actions.githubusercontent.com:{name}": claim for name, claim in claims.items()}
    return any(
        "sts:AssumeRoleWithWebIdentity" in listed(statement["Action"])
        and provider in listed(statement["Principal"].get("Federated", []))
        and _fits(statement.get("Condition", {}), keys)
        for statement in found
    )


def _fits(conditions: Mapping[str, Mapping[str, Any]], keys: Mapping[str, str]) -> bool:
    return all(
        (str(key not in keys).lower() in listed(wanted))
        if test == "Null"
        else {"StringEquals": True, "ArnEquals": True, "Bool": True}[test] and keys.get(key) in listed(wanted)
        for test, each in conditions.items()
        for key, wanted in each.items()
    )
