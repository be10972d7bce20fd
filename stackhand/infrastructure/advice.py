"""What works here and surprises on AWS, as far as the project's files say: known without an account."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from stackhand.infrastructure import secret_values, secrets
from stackhand.infrastructure.services.differences import CloudFinding
from stackhand.infrastructure.services.services import KNOWN_THERE, WITHOUT_DEFAULT, CloudServices, variables_of
from stackhand.project.environments import Environment
from stackhand.project.schema import is_secret
from stackhand.project.stack import dockerfile, kinds, model, probes
from stackhand.project.stack.addresses import leads_to
from stackhand.project.stack.model import Service, Stack
from stackhand.project.stack.xaws import Fargate, Job, Managed

LOGIN = re.compile(r"://[^/@\s:]*:[^/@\s]+@")
OFF = "x-aws: {hardened: false}"
ROOT = frozenset({"", "root", "0"})
FIRST_FREE = 1024
"""Docker lets every user listen below it; Fargate only root with NET_BIND_SERVICE (aws/containers-roadmap, 1721)."""
BIND = "NET_BIND_SERVICE"
EXEC_LACKS = "capabilities are dropped: in a shell even root can neither change owners nor read others' files"
"""AWS does not say which capabilities ECS Exec needs (aws/containers-roadmap, 1360)."""


class Writes(NamedTuple):
    """What an official image does that a hardened container may not."""

    paths: tuple[str, ...]
    changes_user: bool = False


IMAGES: Mapping[str, Writes] = {
    "nginx": Writes(("/var/cache/nginx", "/run"), changes_user=True),
    "httpd": Writes(("/usr/local/apache2/logs",), changes_user=True),
    "wordpress": Writes(("/var/www/html", "/run"), changes_user=True),
    "nextcloud": Writes(("/var/www/html", "/run"), changes_user=True),
    "caddy": Writes(("/data", "/config")),
    "grafana": Writes(("/var/lib/grafana",)),
    "prometheus": Writes(("/prometheus",)),
    "rabbitmq": Writes(("/var/lib/rabbitmq",), changes_user=True),
    "postgres": Writes(("/var/lib/postgresql", "/run/postgresql"), changes_user=True),
    "redis": Writes(("/data",), changes_user=True),
    "valkey": Writes(("/data",), changes_user=True),
    "mongo": Writes(("/data/db", "/data/configdb"), changes_user=True),
    "mysql": Writes(("/var/lib/mysql", "/run/mysqld"), changes_user=True),
    "mariadb": Writes(("/var/lib/mysql", "/run/mysqld"), changes_user=True),
}


def of(stack: Stack, cloud: CloudServices, environment: Environment) -> Iterator[CloudFinding]:
    """Yield what deserves a thought before these services run in an environment.

    Args:
        stack: as `compose.stack_of` returns it.
        cloud: the same services, resolved for the environment.
        environment: where they will run.
    """
    tasks = [each for each in stack.services.values() if isinstance(each.aws, Fargate | Job)]
    for service in tasks:
        yield from _empty(service.name, cloud, environment)
        yield from _in_clear(service, stack, cloud)
        yield from _without_password(service, stack, cloud)
        yield from _hardened(service, stack, cloud)
        yield from _unchecked(service, cloud)
    yield from _privileges(stack, cloud, environment)
    yield from _given(stack, cloud, environment)
    yield from _unprobed(stack)


def _empty(name: str, cloud: CloudServices, environment: Environment) -> Iterator[CloudFinding]:
    """Yield the variables that only `.env` or the shell of this machine sets."""
    there = cloud.kinds.keys() | variables_of(environment).keys() | {model.TARGETS}
    for key, text in _texts(cloud.written[name]):
        names = {plain or braced for plain, braced in WITHOUT_DEFAULT.findall(text)}
        for variable in sorted(names - there):
            message = f"{variable} is empty on AWS in {key}: .env and the shell of this machine do not count there"
            yield CloudFinding("differs", name, message, _filled(variable, key, environment), key)


def _filled(variable: str, key: str, environment: Environment) -> str:
    """Return how a variable gets a value on AWS."""
    if not is_secret(variable):
        return f"a default, or settings = {{ {variable} = … }} in environments/{environment.name}.tfvars"
    return f"${{{variable}:?}} in {key}, a secret of the environment"


def _texts(written: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a service takes from the file, by variable or key; a name alone passes that variable through."""
    variables = written.get("environment") or {}
    pairs = variables.items() if isinstance(variables, dict) else (str(each).split("=", 1) for each in variables)
    for name, *value in pairs:
        passed = not value or value[0] is None
        yield str(name), f"${{{name}}}" if passed else str(value[0])
    yield from ((key, str(written[key])) for key in ("command", "entrypoint", "image") if written.get(key))


def _in_clear(service: Service, stack: Stack, cloud: CloudServices) -> Iterator[CloudFinding]:
    """Yield the passwords that stand in the file: whoever may read a task definition reads them."""
    for key, value in cloud.resolved[service.name]["environment"].items():
        known = not value or value == KNOWN_THERE or cloud.within(value)
        if known or not (LOGIN.search(value) or is_secret(key)):
            continue
        managed = _managed(stack) if LOGIN.search(value) else []
        if other := next((each for each in managed if leads_to(value, each.name)), None):
            message = f"environment.{key} has a password for {other.name}, and on AWS Terraform generates another one"
            remedy = (
                f"its variable in the URL, and in {other.name}: ${{{cloud.own_secret(other.name) or 'PASSWORD'}:?}}"
            )
            yield CloudFinding("refused", service.name, message, remedy, "environment")
        else:
            message = f"environment.{key} has its password in clear, in the file and in the task definition on AWS"
            remedy = f"take the whole value from a secret: ${{{key}:?}}"
            yield CloudFinding("advice", service.name, message, remedy, "environment")


def _without_password(service: Service, stack: Stack, cloud: CloudServices) -> Iterator[CloudFinding]:
    """Yield the databases and caches to which a service can have no password: all of them have one on AWS."""
    environment = cloud.resolved[service.name]["environment"]
    given = {cloud.whole(value) for value in environment.values()} - {""}
    for other in _managed(stack):
        port = kinds.PORTS["rds" if _is_database(other) else "elasticache"]
        key = kinds.variable_with(service, other.name, port)
        caches = {cloud.password_of(each.name) for each in _managed(stack) if not _is_database(each)}
        # A database may have more roles than its owner; a cache has one password.
        has = given - caches if _is_database(other) else given & {cloud.password_of(other.name)}
        if key and not has and not LOGIN.search(environment.get(key) or ""):
            message = f"gets no password for {other.name}, which has one on AWS that Terraform generates"
            remedy = f"a variable with it: {_password(other, cloud)}"
            yield CloudFinding("differs", service.name, message, remedy, "environment")


def _managed(stack: Stack) -> list[Service]:
    return [each for each in stack.services.values() if isinstance(each.aws, Managed)]


def _is_database(other: Service) -> bool:
    return isinstance(other.aws, Managed) and other.aws.managed == "rds"


def _password(other: Service, cloud: CloudServices) -> str:
    """Return what to write to have a managed service's password."""
    if not _is_database(other):
        secret = cloud.password_of(other.name)
        return f"{secret}: ${{{secret}:?}}"
    if own := cloud.own_secret(other.name):
        return f"PGPASSWORD: ${{{own}:?}}"
    return f"PGPASSWORD: ${{POSTGRES_PASSWORD:?}}, and in {other.name} POSTGRES_PASSWORD: ${{POSTGRES_PASSWORD:?}}"


def _hardened(service: Service, stack: Stack, cloud: CloudServices) -> Iterator[CloudFinding]:
    """Yield what a read-only root file system and no capabilities will keep from working."""
    written, entry = cloud.written[service.name], cloud.resolved[service.name]
    image = dockerfile.released(service, stack.root)
    if not isinstance(service.aws, Fargate | Job) or not service.aws.hardened or image is None:
        return
    found = partial(CloudFinding, "advice", service.name, key="x-aws.hardened")
    does = IMAGES.get(image.name, Writes(()))
    user = str(entry.get("user") or image.user).partition(":")[0]
    if written.get("read_only") is None and (lacking := _unwritable(does.paths, entry)):
        message = f"{image.base} writes to {' and '.join(lacking)}, which is read-only on AWS"
        yield found(message, f"tmpfs: [{', '.join(lacking)}], or {OFF}")
    if written.get("cap_drop") is None and user in ROOT:
        if does.changes_user:
            message = f"{image.base} starts as root and changes to another user, for which it has no capability on AWS"
            yield found(message, f"an image that needs no root, or {OFF}")
        elif image.file:
            message = f"{image.file} has no USER other than root, and root has no capabilities on AWS"
            remedy = f"add USER; read_only: true and cap_drop: [ALL] here show what would fail; or {OFF}"
            yield found(message, remedy)


def _unwritable(paths: tuple[str, ...], entry: Mapping[str, Any]) -> list[str]:
    given = entry.get("tmpfs") or []
    folders = [str(each).partition(":")[0] for each in ([given] if isinstance(given, str) else given)]
    return [path for path in paths if not any(f"{path}/".startswith(f"{folder.rstrip('/')}/") for folder in folders)]


def _unchecked(service: Service, cloud: CloudServices) -> Iterator[CloudFinding]:
    """Yield a worker that nobody asks how it is: no load balancer does, and ECS ignores the image's HEALTHCHECK."""
    check = cloud.resolved[service.name].get("healthcheck") or {}
    checked = check.get("test") not in (None, ["NONE"]) and not check.get("disable")
    if isinstance(service.aws, Fargate) and not service.aws.paths and not checked:
        message = "without a health check on AWS, which ignores that of an image; replaced only when the process ends"
        yield CloudFinding("advice", service.name, message, "add healthcheck to the Compose file", "healthcheck")


def _privileges(stack: Stack, cloud: CloudServices, environment: Environment) -> Iterator[CloudFinding]:
    """Yield the services that will not listen on AWS, and those in which a shell can do less than it seems."""
    for service in stack.services.values():
        if isinstance(service.aws, Fargate):
            yield from _port(service, service.aws, stack, cloud)
            if environment.variables.get("exec") and _dropped(service.aws, cloud.written[service.name]):
                remedy = "nothing where that is enough; else cap_drop: [] here for as long as you look around"
                yield CloudFinding("advice", service.name, f"exec = true, and {EXEC_LACKS}", remedy, "cap_drop")


def _port(service: Service, aws: Fargate, stack: Stack, cloud: CloudServices) -> Iterator[CloudFinding]:
    image = dockerfile.released(service, stack.root)
    entry, written = cloud.resolved[service.name], cloud.written[service.name]
    user = str(entry.get("user") or (image.user if image else "")).partition(":")[0]
    if aws.port is None or aws.port >= FIRST_FREE:
        return
    if user not in ROOT:
        why = f"the user {user} may not listen at port {aws.port} on Fargate, which docker here allows"
    elif _dropped(aws, written) and BIND not in _added(written):
        why = f"root without capabilities may not listen at port {aws.port} on Fargate, which docker here allows"
    else:
        return
    remedy = f"listen at {FIRST_FREE} or above, such as {8000 + aws.port}"
    yield CloudFinding("advice", service.name, why, remedy, "x-aws.port")


def _dropped(aws: Fargate, written: Mapping[str, Any]) -> bool:
    """Whether all capabilities are dropped, as terraform/hardening.tf decides it."""
    given = written.get("cap_drop")
    return aws.hardened if given is None else "ALL" in {str(each).upper() for each in given}


def _added(written: Mapping[str, Any]) -> set[str]:
    return {str(each).upper().removeprefix("CAP_") for each in written.get("cap_add") or []}


def _given(stack: Stack, cloud: CloudServices, environment: Environment) -> Iterator[CloudFinding]:
    message = f"only you can provide it, and a deploy stops without it; {environment.name} was not asked for it here"
    for variable, kind in sorted(secret_values.kinds_of(stack, cloud).items()):
        if kind == "given":
            yield CloudFinding("advice", variable, message, secrets.put(environment, variable))


def _unprobed(stack: Stack) -> Iterator[CloudFinding]:
    questions = probes.of_stack(stack)
    if not questions.asked:
        remedy = "x-health: PATH and x-aws.paths on the service that answers first"
        yield CloudFinding("advice", "release", questions.message(), remedy, "x-aws.probe")
    for note in questions.notes:
        yield CloudFinding("advice", "release", note, key="x-aws.probe")
