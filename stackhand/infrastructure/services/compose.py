"""What the Compose files must say of the services in the cloud, checked before Terraform gets them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stackhand.cli import console
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.services import differences, services
from stackhand.infrastructure.services.services import KNOWN_THERE, CloudServices, required
from stackhand.infrastructure.services.tfvars import TAKEN
from stackhand.project import schema, settings
from stackhand.project.compose import composefiles, resolution
from stackhand.project.stack import kinds, loading, probes
from stackhand.project.stack.model import Service, Stack
from stackhand.project.stack.xaws import Capacity, Fargate, Job, Managed, Probe, XAws

SIZES = {
    256: range(512, 2049, 512),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
}
"""The memory in MiB that Fargate has for so many CPU units; larger tasks exist, and need more thought than a number."""

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
"""What ECS, ECR and RDS all take as a part of their names, an underscore written as a hyphen where it is none."""
LONGEST_NAME = 28
"""IAM has 64 letters for a role: of 12 for the stack and 12 for the environment, the service, and -execution."""
LONGEST_DATABASE = 20
"""RDS has 63 letters for a database: that of a copy as it was at a time ends in -at- and twelve digits."""

LOGIN = re.compile(r"://[^\s/@]*:[^\s/@]+@([\w.-]+)")
"""A URL with a password, and its host."""

MADE_UP = "made-up"
"""A secret of a stack that is not started here."""


def stack_of(root: Path) -> Stack:
    """Return the services as they are described, whatever this machine has not been given: it runs none of them."""
    values = settings.ensure(root, check=True, given=False).values
    lacking = {key: KNOWN_THERE for key in required(root) if not values.get(key)}
    # On AWS there are no profiles: what has x-aws runs.
    resolved = resolution.resolve(root, {**values, **_made_up(root, values), **lacking, "COMPOSE_PROFILES": "*"})
    services.share_builds(resolved)
    return loading.of(root, resolved, composefiles.label(root))


def _made_up(root: Path, values: Mapping[str, str]) -> dict[str, str]:
    """Return one text in place of each secret that `.env` lacks; a new one each time would be a new question each time.

    Args:
        root: the checkout.
        values: the settings, with secrets that were made for this call alone.
    """
    entries, there = schema.read(root / ".env.example"), composefiles.settings(root)
    kinds = {key: "generated" for key, entry in entries.items() if entry.generated} | services.untyped(root, entries)
    made = [key for key, kind in kinds.items() if kind == "generated" and not (there.get(key) or key in os.environ)]
    return {key: MADE_UP for key in made if values.get(key)}


def check(root: Path, variables: Mapping[str, str] | None = None) -> Stack:
    """Return the services, fit for the cloud.

    Args:
        root: the checkout.
        variables: that an environment gives the Compose files; None where none is meant.

    Raises:
        Failure: the file is wrong; every place is named.
    """
    stack, described = stack_of(root), services.resolve(root, variables)
    ordered = [stack.services[name] for name in described.written]
    mistakes = [line for service in ordered for line in _service(service, stack, described)]
    mistakes = console.together([*mistakes, *_paths(ordered), *_probes(stack)])
    if mistakes:
        settings = [each for each in mistakes if each.endswith("the environment's .tfvars")]
        file = stack.file if len(settings) < len(mistakes) else "environments/*.tfvars"
        raise Failure(
            f"{stack.file} has {console.counted(len(mistakes), 'mistake')} for the cloud.",
            evidence=mistakes,
            next=f"fix {file} (docs/architecture.md documents x-aws), then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    if not any(isinstance(service.aws, Fargate) for service in stack.services.values()):
        raise Failure(
            f"No service in {stack.file} runs on AWS: no web server and no worker has x-aws.",
            next="add x-aws: {} to one, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    return stack


def _service(service: Service, stack: Stack, described: CloudServices) -> Iterator[str]:
    at = f"services.{service.name}"
    if service.aws is not None:
        yield from _name(service.name, service.aws)
    match service.aws:
        case Fargate() | Job():
            yield from _fargate(service, service.aws, stack, f"{at}.x-aws")
            yield from differences.refusals(service.name, described.written[service.name])
            yield from _secrets(service.name, described, stack)
        case Managed():
            yield from _managed(service.aws, f"{at}.x-aws")
            yield from _passwords(service.name, described)


def _name(name: str, aws: XAws) -> Iterator[str]:
    """A name is part of those of resources; which of these are limited depends on what the service is."""
    longest = LONGEST_DATABASE if isinstance(aws, Managed) and aws.managed == "rds" else LONGEST_NAME
    if not NAME.fullmatch(name):
        yield (
            f"services.{name}: on AWS, a name has lower-case letters and digits, a letter first, "
            "and single hyphens or underscores between them"
        )
    elif len(name) > longest:
        yield f"services.{name}: on AWS, the name must have at most {longest} characters, not {len(name)}"


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
    """A job runs before the services that wait for it, or by its schedule, in the image of a service that is built."""
    waiting = [each for each in stack.services.values() if service.name in each.jobs and isinstance(each.aws, Fargate)]
    condition = f"depends_on: {{{service.name}: {{condition: service_completed_successfully}}}}"
    if not waiting and not service.scheduled:
        yield f"{at}: no service on Fargate waits for {service.name}; give one {condition}, or the job a schedule"
    elif not waiting and isinstance(service.aws, Job) and service.aws.release:
        yield f"{at}.release: no service on Fargate waits for {service.name}; give one {condition}"
    elif service.build and not services.image_of(stack, service.name):
        names = ", ".join(each.name for each in waiting) or "a service on Fargate"
        yield f"services.{service.name}.build must be that of {names}, whose image is released and run"


def _needs(service: Service, aws: Fargate | Job, stack: Stack, at: str) -> Iterator[str]:
    """Who needs a database may talk to it, and nobody else."""
    for need in aws.needs:
        if not isinstance(stack.services[need].aws, Managed):
            yield f"{at}: {need} has no x-aws.managed"
    for name, other in stack.services.items():
        if not isinstance(other.aws, Managed) or name in aws.needs:
            continue
        if variable := kinds.variable_with(service, name, kinds.PORTS[other.aws.managed]):
            yield f"{at} must have {name}, because environment.{variable} uses it"


def _managed(aws: Managed, at: str) -> Iterator[str]:
    prefix = {"rds": "db.", "elasticache": "cache."}[aws.managed]
    if aws.serverless:
        yield from _serverless(aws, at)
        return
    if not aws.instance_class.startswith(prefix):
        yield f"{at}.class must start with {prefix}, or be serverless"
    if aws.capacity:
        yield f"{at}.capacity is for class: serverless, not {aws.instance_class}"
    if aws.managed == "rds" and (aws.storage or 20) < 20:  # noqa: PLR2004 - the least that RDS has
        yield f"{at}.storage must be 20 GiB or more"


def _serverless(aws: Managed, at: str) -> Iterator[str]:
    """What Aurora Serverless v2 and ElastiCache Serverless take."""
    if aws.managed == "elasticache":
        if aws.capacity:
            yield f"{at}.capacity is for databases; storage is the most that a cache holds, in GB"
        if not 1 <= (aws.storage or 1) <= 5000:  # noqa: PLR2004 - of ElastiCache Serverless
            yield f"{at}.storage must be 1 to 5000 GB"
        return
    if aws.storage:
        yield f"{at}.storage must be left out: Aurora's grows by itself"
    capacity = aws.capacity or Capacity()
    if not 0 <= capacity.min <= capacity.max <= 256 or capacity.max < 1:  # noqa: PLR2004 - of Aurora Serverless v2
        yield f"{at}.capacity: min must be 0 to max, and max 1 to 256"
    if capacity.min * 2 % 1 or capacity.max * 2 % 1:
        yield f"{at}.capacity: min and max must be in steps of 0.5"
    if not 300 <= capacity.pause <= 86400:  # noqa: PLR2004 - of Aurora Serverless v2
        yield f"{at}.capacity.pause must be 300 to 86400 seconds"


def _secrets(name: str, described: CloudServices, stack: Stack) -> Iterator[str]:
    """A secret is injected as it is, into one variable: elsewhere it would be there for everybody to read."""
    entry = described.resolved[name]
    for key, value in entry["environment"].items():
        at, login = f"services.{name}.environment.{key}", LOGIN.search(value)
        server = stack.services.get(login[1]) if login else None
        if server and isinstance(server.aws, Managed) and not described.within(value):
            yield (
                f"{at}: the password of {server.name} is generated on AWS; write it as a variable that {server.name} "
                "has too, such as ${POSTGRES_PASSWORD:?}"
            )
    for key in (*TAKEN, "command", "entrypoint", "healthcheck", "x-aws"):
        if used := described.within(entry.get(key)):
            yield f"services.{name}.{key}: {used[0]} is a secret, and on AWS only values of environment can be secret"
    if keys := described.here[name]:
        lines = ", ".join(f"{key} = …" for key in keys)
        remedy = f"put settings = {{ {lines} }} into the environment's .tfvars"
        yield f"services.{name}.env_file: .env of this machine does not count on AWS; {remedy}"


def _passwords(name: str, described: CloudServices) -> Iterator[str]:
    """The password of a database or cache that AWS runs is made with it."""
    for key, value in described.resolved[name]["environment"].items():
        secret = described.whole(value)
        if secret and described.kinds[secret] == "given":
            at = f"services.{name}.environment.{key}"
            yield f"{at}: on AWS Terraform generates this password: {secret} must be 'secret generated'"


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


def _paths(ordered: Sequence[Service]) -> Iterator[str]:
    seen: dict[tuple[str, str], str] = {}
    for service in ordered:
        hosts = (isinstance(service.aws, Fargate) and service.aws.host) or [""]
        for path in service.aws.paths if isinstance(service.aws, Fargate) else []:
            at = f"services.{service.name}.x-aws.paths"
            if not re.fullmatch(r"/[A-Za-z0-9_.~/&:@%+$-]*\*?", path) or len(path) > 128:  # noqa: PLR2004 - AWS's limit
                yield f"{at}: {path!r} must be a path such as /docs/*, with a star only at its end"
            if owner := next((seen[host, path] for host in hosts if (host, path) in seen), ""):
                yield f"{at}: {path} already belongs to {owner}"
            seen |= {(host, path): service.name for host in hosts if (host, path) not in seen}
