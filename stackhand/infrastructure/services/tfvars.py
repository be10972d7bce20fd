"""The file of variables that Terraform reads the services from."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from stackhand.infrastructure.services.services import CloudServices, image_of, managed_ports, resolve, stack_of
from stackhand.project.stack import addresses, loading, xaws
from stackhand.project.stack.xaws import Fargate, Job, XAws

TAKEN = ("image", "working_dir", "user", "init", "labels", "tmpfs", "cap_add", "x-health")
"""Keys that Terraform takes as Compose resolves them."""
DECIDED = ("read_only", "cap_drop")
"""Keys of which it matters whether the file has them: Compose leaves them out where they are false or empty."""
UNITS = {"ms": 0.001, "us": 0.000001, "ns": 0.000000001, "h": 3600, "m": 60, "s": 1}


def write(path: Path, root: Path, variables: Mapping[str, str]) -> None:
    """Write the file of variables that Terraform reads the services from; it holds no secret.

    Args:
        path: which.
        root: the checkout.
        variables: of the environment.

    Raises:
        Failure: Compose rejects the files.
    """
    cloud = resolve(root, variables)
    stack = stack_of(root, cloud)
    managed = managed_ports(stack)
    services = {
        name: dict(_service(entry, name, cloud, aws, managed))
        for name, entry in cloud.resolved.items()
        if (aws := stack.services[name].aws)
    }
    for name, entry in services.items():
        if isinstance(stack.services[name].aws, Job) and (owner := image_of(stack, name)):
            entry["image_of"] = owner
    document = {"services": services, "secrets": cloud.kinds}
    path.write_text(json.dumps(document, indent=1, sort_keys=True), encoding="utf-8")


def _service(
    entry: Mapping[str, Any], name: str, cloud: CloudServices, aws: XAws, managed: Mapping[str, int]
) -> Iterator[tuple[str, Any]]:
    values = {key: addresses.with_ports(value, managed) for key, value in entry["environment"].items()}
    secrets = {key: cloud.whole(value) for key, value in values.items() if cloud.whole(value)}
    composed = {key: cloud.composition(value) for key, value in values.items() if key not in secrets}
    composed = {key: value for key, value in composed.items() if value["secrets"]}
    hosts = {key: value for key, value in values.items() if value in managed and addresses.is_host(key, value, value)}
    yield "environment", {key: value for key, value in values.items() if key not in {*secrets, *composed, *hosts}}
    yield "secrets", secrets
    yield "composed", composed
    yield "hosts", hosts
    yield from ((key, entry[key]) for key in TAKEN if entry.get(key) is not None)
    yield from ((key, cloud.written[name][key]) for key in DECIDED if cloud.written[name].get(key) is not None)
    yield from ((key, loading.args(entry[key])) for key in ("command", "entrypoint") if entry.get(key))
    if entry.get("build"):
        yield "build", True
    yield "depends_on", {other: each.get("condition") for other, each in (entry.get("depends_on") or {}).items()}
    yield "stop_grace_period", seconds(entry.get("stop_grace_period") or "10s")
    check = entry.get("healthcheck") or {}
    if check.get("test") and check["test"] != ["NONE"] and not check.get("disable"):
        times = {key: seconds(check[key]) for key in ("interval", "timeout", "start_period") if key in check}
        yield "healthcheck", {"test": check["test"], "retries": check.get("retries", 3), **times}
    if limit := (entry.get("ulimits") or {}).get("nofile"):
        yield "nofile", limit if isinstance(limit, dict) else {"soft": limit, "hard": limit}
    yield "x-aws", _aws(aws)


def _aws(aws: XAws) -> dict[str, Any]:
    """Return `x-aws` with its defaults, the command of `release` as a list."""
    fields = _without_null(msgspec.to_builtins(aws))
    if isinstance(aws, Fargate) and aws.release:
        command = xaws.commands(aws.release)["command"]
        more = fields["release"] if isinstance(fields["release"], dict) else {}
        fields["release"] = {**more, "command": shlex.split(command)}
    return fields


def _without_null(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields without those that have no value: for Terraform null is a value."""
    return {
        key: _without_null(value) if isinstance(value, dict) else value
        for key, value in fields.items()
        if value is not None
    }


def seconds(text: str) -> int:
    """Return one of Compose's durations (1m30s, 500ms) in whole seconds."""
    return math.ceil(sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|us|ns|h|m|s)", text)))
