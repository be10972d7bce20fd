"""What `docker-compose.yml` must say of the services in the cloud, checked before Terraform reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import differences
from stackhand.infrastructure.references import PORTS
from stackhand.project import model, probes, resolution, schema, settings
from stackhand.project.model import Service, Stack
from stackhand.project.schema import Setting
from stackhand.project.xfields import Fargate, Job, Managed, Probe

SIZES = {
    256: range(512, 2049, 512),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
}
"""The memory in MiB that Fargate has for so many CPU units; larger tasks exist, and need more thought than a number."""

FILLED = ("image", "command", "entrypoint", "working_dir", "user", "labels", "healthcheck")
"""Where Terraform fills variables in, beside environment."""

REQUIRED = r"\$\{(\w+):?\?"
"""A variable that Compose insists on."""


def stack_of(root: Path) -> Stack:
    """Return the services as they are described, whatever this machine has not been given: it runs none of them."""
    required = re.findall(REQUIRED, str(written_services(root)))
    values = settings.ensure(root, check=True, given=False).values
    lacking = {key: "known in the cloud" for key in required if not values.get(key)}
    # On AWS there are no profiles: what has x-aws runs.
    return model.load(root, {**values, **lacking, "COMPOSE_PROFILES": "*"})


def written_services(root: Path) -> dict[str, dict[str, Any]]:
    """Return the services with their variables as they are written."""
    found: dict[str, dict[str, Any]] = resolution.written(root, {}).get("services") or {}
    return found


def check(root: Path) -> Stack:
    """Return the services, fit for the cloud.

    Raises:
        Failure: the file is wrong; every place is named.
    """
    stack = stack_of(root)
    services = [(stack.services[name], entry) for name, entry in written_services(root).items()]
    found = [line for service, entry in services for line in _service(service, stack, entry)]
    found += [*_paths([service for service, _ in services]), *_probes(stack)]
    if found:
        raise Failure(
            f"{stack.file} has {len(found)} {'mistake' if len(found) == 1 else 'mistakes'} for the cloud.",
            evidence=found,
            next=f"fix {stack.file} (docs/architecture.md documents x-aws), then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    if not any(isinstance(service.aws, Fargate) for service in stack.services.values()):
        raise Failure(f"No service in {stack.file} has x-aws with a port.", code=ExitCode.PREFLIGHT)
    return stack


def _service(service: Service, stack: Stack, written: dict[str, Any]) -> Iterator[str]:
    at = f"services.{service.name}"
    if service.aws is not None and not re.fullmatch(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", service.name):
        yield f"{at}: the name must be short and have only lower-case letters, digits and hyphens on AWS"
    match service.aws:
        case Fargate() | Job():
            yield from _fargate(service, service.aws, stack, f"{at}.x-aws")
            yield from differences.refusals(service.name, written)
            yield from _words(written, f"{at}")
            yield from _texts(written, schema.read(stack.root / ".env.example"), at)
            yield from _secrets(written, schema.read(stack.root / ".env.example"), f"{at}.environment")
        case Managed():
            yield from _managed(service.aws, f"{at}.x-aws")
            yield from _passwords(written, schema.read(stack.root / ".env.example"), f"{at}.environment")


def _fargate(service: Service, aws: Fargate | Job, stack: Stack, at: str) -> Iterator[str]:
    if aws.cpu not in SIZES:
        yield f"{at}.cpu must be one of {', '.join(map(str, SIZES))}, not {aws.cpu}"
    elif aws.memory not in (sizes := SIZES[aws.cpu]):
        allowed = f"{sizes[0]} to {sizes[-1]} in steps of {sizes.step}"
        yield f"{at}.memory must be {allowed} with {aws.cpu} CPU units, not {aws.memory}"
    if isinstance(aws, Job):
        yield from _job(service, stack, at)
    else:
        yield from _scaled(service, aws, at)
    yield from _needs(service, aws, stack, f"{at}.needs")


def _scaled(service: Service, aws: Fargate, at: str) -> Iterator[str]:
    if not 1 <= aws.scale.min <= aws.scale.max:
        yield f"{at}.scale: min must be 1 or more, and max no less"
    for name in ("cpu", "memory"):
        if not 1 <= getattr(aws.scale, name) <= 100:  # noqa: PLR2004 - percent
            yield f"{at}.scale.{name} must be percent, 1 to 100"
    if aws.paths and service.health is None:
        yield f"services.{service.name}: a service with x-aws.paths needs x-health, which the load balancer checks"


def _job(service: Service, stack: Stack, at: str) -> Iterator[str]:
    """A job runs before the services that wait for it, in the image of one of them."""
    waiting = [each for each in stack.services.values() if service.name in each.jobs and isinstance(each.aws, Fargate)]
    condition = f"depends_on: {{{service.name}: {{condition: service_completed_successfully}}}}"
    if not service.command:
        yield f"services.{service.name}.command: a job with x-aws.release needs one, which is what is run"
    if not waiting:
        yield f"{at}.release: no service on Fargate waits for {service.name}; give one {condition}"
    elif service.build and service.build not in [each.build for each in waiting]:
        yield f"services.{service.name}.build must be that of {waiting[0].name}, whose image is released and run"


def _needs(service: Service, aws: Fargate | Job, stack: Stack, at: str) -> Iterator[str]:
    """Who needs a database may talk to it, and nobody else."""
    for need in aws.needs:
        if not isinstance(stack.services[need].aws, Managed):
            yield f"{at}: {need} has no x-aws.managed"
    for name, other in stack.services.items():
        port = isinstance(other.aws, Managed) and PORTS[other.aws.managed]
        users = [key for key, value in service.environment.items() if re.search(rf"\b{name}:{port}\b", value)]
        if users and name not in aws.needs:
            yield f"{at} must have {name}, because environment.{users[0]} uses it"


def _managed(aws: Managed, at: str) -> Iterator[str]:
    prefix = {"rds": "db.", "elasticache": "cache."}[aws.managed]
    if not aws.instance_class.startswith(prefix):
        yield f"{at}.class must start with {prefix}"
    if aws.managed == "rds" and (aws.storage or 20) < 20:  # noqa: PLR2004 - the least that RDS has
        yield f"{at}.storage must be 20 GiB or more"


def _words(written: dict[str, Any], at: str) -> Iterator[str]:
    """Terraform splits a command at its spaces: it knows no quotes."""
    migrate = written["x-aws"].get("migrate")
    if isinstance(migrate, dict):  # plan and status are asked on this machine only
        migrate = migrate.get("command")
    commands = {"command": written.get("command"), "entrypoint": written.get("entrypoint"), "x-aws.migrate": migrate}
    for name, text in commands.items():
        if isinstance(text, str) and re.search(r"""["'\\$]""", text):
            yield f"{at}.{name}: on AWS a command is split at spaces; write it without quotes and variables"


def _texts(written: dict[str, Any], entries: Mapping[str, Setting], at: str) -> Iterator[str]:
    """Variables are filled in here as well, but a secret would be there for everybody to read."""
    for name in FILLED:
        text = str(written.get(name) or "").replace("$$", "")
        if re.search(r"\$\{[^}]*\$\{|\$\{\w+:?\+", text):
            yield f"{at}.{name}: on AWS a variable can have only a default; see docs/operations.md"
        if used := sorted(_secret_names(text, entries)):
            yield f"{at}.{name}: {used[0]} is a secret, and on AWS only values of environment can be secret"


def _secrets(written: dict[str, Any], entries: Mapping[str, Setting], at: str) -> Iterator[str]:
    """A secret is injected as it is: it cannot be a part of a longer value."""
    for key, value in environment_of(written).items():
        whole = re.fullmatch(r"\$\{\w+[^}]*\}|\$\w+", value)
        if re.search(r"\$\{[^}]*\$\{|\$\{\w+:?\+", value):
            yield f"{at}.{key}: on AWS a variable can have only a default; see docs/operations.md"
        if _secret_names(value, entries) and not whole:
            yield f"{at}.{key}: a secret must be the whole value, because its parameter is injected unchanged"


def _secret_names(text: str, entries: Mapping[str, Setting]) -> set[str]:
    """Return the variables in a text that are secrets: declared as such, or required and not declared at all."""
    declared = {name for name in re.findall(r"\$\{?(\w+)", text) if name in entries and entries[name].kind == "secret"}
    return declared | (set(re.findall(REQUIRED, text)) - set(entries))


def _passwords(written: dict[str, Any], entries: Mapping[str, Setting], at: str) -> Iterator[str]:
    """The password of a database or cache that AWS runs is made with it."""
    for key, value in environment_of(written).items():
        name = re.match(r"\$\{?(\w+)", value)
        if name and name[1] in entries and entries[name[1]].given:
            yield f"{at}.{key}: on AWS Terraform generates this password: {name[1]} must be 'secret generated'"


def environment_of(written: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of a service as it is written, be it a mapping or a list."""
    values = written.get("environment") or {}
    pairs = values.items() if isinstance(values, dict) else (str(each).partition("=")[::2] for each in values)
    return {str(key): "" if value is None else str(value) for key, value in pairs}


def _probes(stack: Stack) -> Iterator[str]:
    """What `x-aws.probe` names is asked through the load balancer, so it has to lead to that very service."""
    webs = probes.webs_of(stack)
    for name, web in webs.items():
        if not isinstance(web.probe, Probe):
            continue
        for key, path in (("path", web.probe.path), ("version", web.probe.version)):
            leads = probes.leads_to(path, webs) if path else name
            if leads != name:
                where = f"is routed to {leads}" if leads else "is not routed from outside"
                yield f"services.{name}.x-aws.probe.{key}: {path} {where}; x-aws.paths define the routes to {name}"


def _paths(services: Sequence[Service]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for service in services:
        for path in service.aws.paths if isinstance(service.aws, Fargate) else []:
            at = f"services.{service.name}.x-aws.paths"
            if not re.fullmatch(r"/[A-Za-z0-9_.~/&:@%+$-]*\*?", path) or len(path) > 128:  # noqa: PLR2004 - AWS's limit
                yield f"{at}: {path!r} must be a path such as /docs/*, with a star only at its end"
            if path in seen:
                yield f"{at}: {path} already belongs to {seen[path]}"
            seen.setdefault(path, service.name)
