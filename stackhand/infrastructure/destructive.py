"""What a plan would lose, and no deploy does in passing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stackhand.cli.failure import ExitCode, Failure

HOLDS_DATA = {
    "aws_db_instance": "database",
    "aws_elasticache_replication_group": "cache",
    "aws_ecr_repository": "images",
    "aws_s3_bucket": "access logs",
    "aws_kms_key": "the key of all of them",
    "aws_ssm_parameter": "secret",
}
"""Types whose loss is more than an outage. (A release that a failed one goes back to may still read the secret.)"""


def refuse(name: str, plan: Mapping[str, Any], allowed: Sequence[str] = ()) -> None:
    """Refuse a plan that deletes what holds data.

    Args:
        name: the environment's.
        plan: as `Summary.to_dict` returns it.
        allowed: addresses of what is deleted on purpose.

    Raises:
        Failure: with everything that would be lost.
    """
    lost = [
        f"{HOLDS_DATA[kind]}: {each['address']} ({each['action']})"
        for concern in plan["concerns"]
        for each in concern["resources"]
        if (kind := each["address"].partition(".")[0]) in HOLDS_DATA
        and _lost(kind, each["action"])
        and each["address"] not in allowed
    ]
    if lost:
        raise Failure(
            f"This would delete data of {name}.",
            evidence=lost,
            next=f"./inv plan -e {name} shows why; if it is meant: add -e infrastructure_may_lose_data=true to "
            f".venv/bin/ansible-playbook playbooks/deploy.yml -e stackhand_environment={name}",
            code=ExitCode.PREFLIGHT,
        )


def _lost(kind: str, action: str) -> bool:
    """Whether what was there is gone. A secret is replaced with its database, which is named."""
    return action == "destroy" or (action == "replace" and kind != "aws_ssm_parameter")


def key_that_stays(resources: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> str:
    """Return the ARN of the environment's own key where something that outlives it is encrypted with it; else nothing.

    Args:
        resources: the state's.
        keys: what encrypts that: ARNs, ids or aliases.
    """
    own: Mapping[str, Any] = next((each["values"] for each in resources if each["type"] == "aws_kms_key"), {})
    aliases = (each["values"] for each in resources if each["type"] == "aws_kms_alias")
    names = {own.get("arn"), own.get("key_id"), *(each.get(key) for each in aliases for key in ("name", "arn"))}
    return str(own["arn"]) if own and (names - {None}) & set(keys) else ""
