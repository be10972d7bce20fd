"""All oracles on what Terraform made: cfn-lint, our rules on AWS, IAM's list of actions, botocore's models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from tests.oracles import access, cloudformation, data, files, network, requests, tasks
from tests.oracles.problem import Problem
from tests.oracles.state import State

RULES = {
    "network": network.RULES,
    "tasks": tasks.RULES,
    "data": data.RULES,
    "access": access.RULES,
    "botocore": requests.RULES,
}
IGNORED = {
    "E3002": "a property that Terraform's state has and CloudFormation calls otherwise",
    "W1020": "Fn::Sub is never used here",
}
"""What cfn-lint finds in our template because it is generated."""


def problems(state: State, folder: Path) -> list[Problem]:
    """Return what all oracles say of an environment.

    Args:
        state: what Terraform made.
        folder: the files that it made it from.
    """
    found = {Problem(address, message, "files") for address, message in files.problems(folder)}
    for oracle, rules in RULES.items():
        for rule in rules:
            found |= {Problem(address, message, oracle) for address, message in _asked(rule, state)}
    return sorted(found | set(cfn_lint(state, folder)))


def _asked(rule: Any, state: State) -> Iterator[tuple[str, str]]:
    """Yield what a rule finds; what is not there at all, or of another form, is a problem as well."""
    try:
        yield from rule(state)
    except (KeyError, IndexError, TypeError, ValueError, StopIteration, RuntimeError) as error:
        yield rule.__name__, f"cannot be looked at: {type(error).__name__}: {error}"


def cfn_lint(state: State, folder: Path) -> Iterator[Problem]:
    """Yield what AWS's own schemas refuse."""
    document = cloudformation.template(state.resources, files.written(folder), tasks.templates(state))
    names = dict(cloudformation.addresses(document))
    region = state.outputs["release"]["region"]
    for each in _lint(json.dumps(document), region):
        path = list(getattr(each, "path", None) or [])
        address = names.get(str(path[1]), "") if len(path) > 1 else ""
        where = ".".join(str(part) for part in path[3:])
        yield Problem(address, f"{each.rule.id} {where}: {each.message}", "cfn-lint")


CFN_LINT = Lock()
"""Its rules keep what they have resolved of a template: two at once find each other's subnets, and lose definitions."""


def _lint(text: str, region: str) -> list[Any]:
    from cfnlint.config import ConfigMixIn
    from cfnlint.decode.decode import decode_str
    from cfnlint.runner import run_template_by_data

    config = ConfigMixIn(regions=[region], ignore_checks=[*IGNORED, "W", "I"])
    with CFN_LINT:
        return list(run_template_by_data(decode_str(text)[0], config, _rules()))


@cache
def _rules() -> Any:
    from cfnlint.config import ConfigMixIn
    from cfnlint.runner import Runner

    return Runner(ConfigMixIn(regions=["us-east-1"])).rules
