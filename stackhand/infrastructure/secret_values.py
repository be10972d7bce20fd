"""`./inv secrets.set`, `secrets.list`, `secrets.unset`: an environment's secrets, whose values are never shown."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stackhand.aws.errors import as_failure, code_of
from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account, secrets
from stackhand.infrastructure.services import existing, services
from stackhand.infrastructure.services.services import CloudServices
from stackhand.project import environments
from stackhand.project.compose import composefiles
from stackhand.project.environments import Environment
from stackhand.project.stack.model import Stack
from stackhand.system.roots import PROJECT

LONGEST = 8192
"""Bytes that SSM stores; above 4096 it charges for the parameter, and says so in none of its answers."""
KEY = "alias/aws/ssm"
"""The account's own key, which outlives the environment."""
HEADINGS = ("secret", "kind", "version", "changed", "by")
STYLES = {"missing": "red"}


@dataclass(frozen=True)
class StoredSecret:
    """A secret of an environment.

    Args:
        name: of the variable.
        kind: given, generated, or unused where nothing declares it any more.
        version: of its value; 0 when it has none.
        changed: when it got that value, in UTC; empty when it has none.
        by: who changed it: a user, or a role and its session.
    """

    name: str
    kind: str
    version: int = 0
    changed: str = ""
    by: str = ""


def set_value(*, environment: str, name: str) -> None:
    """Store the value of a given secret, read from standard input or, at a terminal, from a prompt."""
    chosen = environments.load(environment)
    _require_given(name, chosen)
    account.check(chosen)
    ssm, path = chosen.client("ssm"), _path(chosen, name)
    _require_type(ssm, path, chosen, name)
    version = secrets.store(ssm, path, _read(name), secrets.encryption(chosen, KEY))
    console.write(f"{name} has version {version} in {environment}.")
    console.notify(f"Tasks read it when they start: ./inv deploy -e {environment}")


def show(*, environment: str, json: bool) -> None:
    """Show the secrets of an environment: names, versions, when and by whom they were changed."""
    chosen = environments.load(environment)
    account.check(chosen)
    found = stored(chosen)
    if json:
        console.document({"environment": environment, "secrets": [asdict(each) for each in found]})
        return
    rows = [
        (each.name, each.kind, str(each.version) if each.version else "missing", each.changed, each.by)
        for each in found
    ]
    console.table(rows, HEADINGS, STYLES)


def unset(*, environment: str, name: str, yes: bool) -> None:
    """Delete a given secret."""
    chosen = environments.load(environment)
    if kinds(PROJECT).get(name) == "generated":
        raise _generated(name, chosen)
    account.check(chosen)
    if not yes:
        console.confirm(f"Tasks of {environment} that read {name} cannot start without it, and SSM keeps no copy", name)
    ssm = chosen.client("ssm")
    try:
        with as_failure(f"{name} cannot be deleted"):
            ssm.delete_parameter(Name=_path(chosen, name))
    except Failure as failure:
        if code_of(failure.__cause__) != "ParameterNotFound":  # type: ignore[arg-type]
            raise
        raise Failure(
            f"{environment} has no value for {name}.",
            next=f"./inv secrets.list -e {environment} shows what it has",
            code=ExitCode.USAGE,
        ) from failure
    console.write(f"{name} is deleted from {environment}.")


def stored(environment: Environment) -> list[StoredSecret]:
    """Return the secrets that an environment has or needs, by name; no password of a database that its file names."""
    chosen = [{"Key": "Path", "Option": "OneLevel", "Values": [_path(environment, "").rstrip("/")]}]
    with as_failure(f"The secrets of {environment.name} cannot be listed"):
        pages = environment.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=chosen)
        parameters = {each["Name"].rpartition("/")[2]: each for page in pages for each in page["Parameters"]}
    cloud = services.resolve(PROJECT)
    stack = services.stack_of(PROJECT, cloud)
    elsewhere = existing.passwords(environment, stack, cloud)
    declared = {name: kind for name, kind in kinds_of(stack, cloud).items() if name not in elsewhere}
    return [
        _stored(name, declared.get(name, "unused"), parameters.get(name)) for name in sorted({*declared, *parameters})
    ]


def kinds(root: Path) -> dict[str, str]:
    """Return `given` or `generated` for each secret that a service on AWS reads, as Terraform tells them apart."""
    cloud = services.resolve(root)
    return kinds_of(services.stack_of(root, cloud), cloud)


def kinds_of(stack: Stack, cloud: CloudServices) -> dict[str, str]:
    """Return the same of services that are resolved already."""
    there = {name: each.kind == "managed" for name, each in stack.services.items() if each.aws}
    passwords = {cloud.password_of(name) for name, managed in there.items() if managed}
    own = {cloud.own_secret(name) for name, managed in there.items() if managed} - {""}
    tasks = [cloud.resolved[name]["environment"] for name, managed in there.items() if not managed]
    read = {name for environment in tasks for name in cloud.within([*environment.values()])} | own
    made = passwords | {name for name, kind in cloud.kinds.items() if kind == "generated"}
    return {name: "generated" if name in made else "given" for name in sorted(read)}


def _stored(name: str, kind: str, parameter: Mapping[str, Any] | None) -> StoredSecret:
    if parameter is None:
        return StoredSecret(name, kind)
    changed: datetime = parameter["LastModifiedDate"]
    by = str(parameter.get("LastModifiedUser") or "").rpartition(":")[2]
    moment = changed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return StoredSecret(name, kind, int(parameter["Version"]), moment, by)


def _require_given(name: str, environment: Environment) -> None:
    """Refuse a value for what the services do not read, or Terraform makes."""
    declared = kinds(PROJECT)
    if declared.get(name) == "generated":
        raise _generated(name, environment)
    if name not in declared:
        given = sorted(key for key, kind in declared.items() if kind == "given")
        raise Failure(
            f"No service on AWS reads a secret {name}.",
            evidence=[f"given secrets: {', '.join(given) or 'none'}"],
            next=f"declare it as `# type: secret given` in .env.example and use it in {composefiles.label(PROJECT)}; "
            f"a setting that is no secret goes into environments/{environment.name}.tfvars",
            code=ExitCode.USAGE,
        )


def _generated(name: str, environment: Environment) -> Failure:
    return Failure(
        f"Terraform generates {name}, and would replace your value with the next rotation.",
        next=f"raise secrets_version in environments/{environment.name}.tfvars for a new value; "
        "or, for one of your own, declare it in .env.example as `# type: secret given`",
        code=ExitCode.USAGE,
    )


def _read(name: str) -> str:
    """Return the value, which is in no argument and so in no history and no list of processes."""
    if sys.stdin.isatty():
        value = getpass.getpass(f"Value of {name}, which is not shown: ")
    else:
        value = _decoded(sys.stdin.buffer.read(), name).removesuffix("\n").removesuffix("\r")
    size = len(value.encode())
    if not 0 < size <= LONGEST or "\0" in value:
        raise Failure(
            f"The value of {name} has {size} bytes." if size != 0 else f"The value of {name} is empty.",
            evidence=[f"SSM stores text of 1 to {LONGEST} bytes; nothing was changed"],
            next="pass the value on standard input, or type it at the prompt",
            code=ExitCode.USAGE,
        )
    return value


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Failure(
            f"The value of {name} is not text.",
            evidence=["SSM stores UTF-8 only; nothing was changed"],
            next="encode it, for example with base64, and let the service decode it",
            code=ExitCode.USAGE,
        ) from None


def _require_type(ssm: Any, path: str, environment: Environment, name: str) -> None:
    """Refuse a parameter of another type, which SSM does not change."""
    with as_failure(f"{name} cannot be checked"):
        chosen = [{"Key": "Name", "Option": "Equals", "Values": [path]}]
        parameters = ssm.describe_parameters(ParameterFilters=chosen)["Parameters"]
    if parameters and parameters[0]["Type"] != secrets.encryption(environment, KEY)["Type"]:
        raise Failure(
            f"{name} is stored as plain text: its parameter is a {parameters[0]['Type']}, which SSM does not encrypt.",
            evidence=[f"SSM cannot change the type of {path}"],
            next=f"./inv secrets.unset -e {environment.name} {name}, then the same command again",
            code=ExitCode.PREFLIGHT,
        )


def _path(environment: Environment, name: str) -> str:
    return f"/{environment.stack}/{environment.name}/{name}"
