"""The kind of each service, as `x-aws.kind` says or as its Compose entry shows, and the defaults of `x-aws`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.stack import addresses, xaws
from stackhand.project.stack.xaws import SERVERLESS, Fargate, Job, Managed, XAws
from stackhand.project.stack.xfields import Embedded, convert, wrong

if TYPE_CHECKING:
    from stackhand.project.stack.model import Service

Kind = Literal["web", "worker", "job", "managed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
IMAGES = {
    "postgres": {"postgres", "postgis", "pgvector", "timescaledb", "timescaledb-ha"},
    "redis": {"redis", "valkey", "keydb", "redis-stack", "redis-stack-server"},
    "mysql": {"mysql", "mariadb", "mysql-server", "percona", "percona-server"},
    "mongodb": {"mongo", "mongodb-community-server", "mongodb-enterprise-server", "percona-server-mongodb"},
}
"""Servers by the last part of an image's name: those that take the variables of the official image."""
STANDS_IN = {"postgres": "rds", "redis": "elasticache"}
"""What AWS runs in place of a server; terraform/ has nothing for the other ones."""
PORTS = {"rds": 5432, "elasticache": 6379}
"""Where the managed services listen."""
SIZES: Mapping[str, Mapping[str, Any]] = {
    "rds": {"class": "db.t4g.micro", "storage": 20},
    "elasticache": {"class": "cache.t4g.micro"},
}
MOST = {"web": 3, "worker": 1}
"""How many tasks there are at most. Whether a second worker does the same work twice, only its owner knows."""
_ON_ECS: tuple[Kind, ...] = ("web", "worker")
BELONGS: Mapping[str, tuple[Kind, ...]] = {
    **dict.fromkeys(("managed", "class", "storage", "capacity"), ("managed",)),
    **dict.fromkeys(("schedule", "timezone"), ("job",)),
    **dict.fromkeys(("port", "paths", "host", "probe", "protocol", "timeout"), ("web",)),
    **dict.fromkeys(("scale",), _ON_ECS),
    **dict.fromkeys(("cpu", "memory", "needs", "ca", "hardened", "release"), (*_ON_ECS, "job")),
}
"""The kinds that have each key of `x-aws`; a key of one kind alone shows the kind, the first of them before others."""


class ServiceFacts(NamedTuple):
    """What the Compose entry of a service shows of its kind."""

    server: str | None = None  # which known server it is
    port: int | None = None  # of the container: the first of TCP in `ports`, or in `expose`
    command: bool = False  # whether it has one
    job: bool = False  # whether it runs to its end
    mode: str = ""  # that of `deploy`, where it makes it a job

    @classmethod
    def of(cls, entry: Mapping[str, Any], embedded: Embedded | None, *, job: bool) -> ServiceFacts:
        """Return the facts of an entry as Compose resolves it."""
        engine = embedded.engine if embedded else None
        server = engine if engine in IMAGES else server_of(entry.get("image"))
        ports = [int(each["target"]) for each in entry.get("ports") or [] if each.get("protocol", "tcp") == "tcp"]
        return cls(
            server, next(iter([*ports, *exposed(entry)]), None), bool(entry.get("command")), job, job_mode(entry)
        )


class Reason(NamedTuple):
    """A kind, and what it follows from."""

    kind: Kind
    why: str

    def __str__(self) -> str:
        return f"of kind {self.kind}, because {self.why}"


def job_mode(entry: Mapping[str, Any]) -> str:
    """Return the mode of `deploy` that makes a service a job; nothing where it has another one.

    https://docs.docker.com/reference/compose-file/deploy/#mode: Compose itself runs such a service like any other.
    """
    mode = str((entry.get("deploy") or {}).get("mode", ""))
    return mode if mode.endswith("-job") else ""


def exposed(entry: Mapping[str, Any]) -> list[int]:
    """Return the TCP ports of `expose`, of a range the first."""
    matches = [re.fullmatch(r"(\d+)(?:-\d+)?(?:/tcp)?", str(each)) for each in entry.get("expose") or []]
    return [int(match[1]) for match in matches if match]


def server_of(image: str | None) -> str | None:
    """Return which known server an image is, by the last part of its name."""
    name = (image or "").partition("@")[0].rpartition("/")[2].partition(":")[0]
    return next((server for server, names in IMAGES.items() if name in names), None)


def infer(written: Any, facts: ServiceFacts) -> Reason:
    """Return the kind of a service, from its `x-aws`, whose `kind` has been checked, and the rest of its entry."""
    keys = written if isinstance(written, dict) else {}
    if keys.get("kind"):
        return Reason(keys["kind"], "x-aws.kind says so")
    for key, kinds in BELONGS.items():
        if key in keys and len(kinds) == 1:
            return Reason(kinds[0], f"it has x-aws.{key}")
    if "release" in keys and not _has_command(keys["release"]):
        return Reason("job", "it has x-aws.release without a command")
    if facts.server:
        return Reason("managed", f"its image is a {facts.server} server")
    if facts.mode or facts.job:
        return Reason("job", f"deploy.mode is {facts.mode}" if facts.mode else "another service waits for its end")
    return Reason("worker", "it has no TCP port") if facts.port is None else Reason("web", f"it has port {facts.port}")


def aws(written: Any, at: str, facts: ServiceFacts) -> XAws | None:
    """Return `x-aws` with its defaults; messages say `at` which service of which file it is.

    Raises:
        Failure: a key is wrong, or contradicts the kind.
    """
    if written is None:
        return None
    if not isinstance(written, dict):
        raise wrong(f"{at}.x-aws", "a mapping, which may be empty ({})", written)
    written = _with_release(written, f"{at}.x-aws")
    if written.get("kind", "web") not in KINDS:
        raise wrong(f"{at}.x-aws.kind", f"one of {', '.join(KINDS)}", written["kind"])
    reason = infer(written, facts)
    _refuse_others(written, f"{at}.x-aws", reason)
    given = {**written, "kind": reason.kind}
    match reason.kind:
        case "managed":
            return convert(_managed(given, at, facts, reason), Managed, f"{at}.x-aws")
        case "job":
            if not facts.command:
                raise wrong(f"{at}.command", f"set, for it is what runs: the service is {reason}")
            if _has_command(written.get("release")):
                expected = f"true or {{plan, status, list, timeout}}: the service is {reason}, and runs its own command"
                raise wrong(f"{at}.x-aws.release", expected, written["release"])
            waited = facts.job or not given.get("schedule")
            return xaws.job({**({"release": True} if waited else {}), **given}, f"{at}.x-aws")
        case _:
            return xaws.fargate(_on_ecs(given, at, facts, reason), f"{at}.x-aws")


def _with_release(written: dict[str, Any], at: str) -> dict[str, Any]:
    """Return `x-aws` with `release` for `migrate`, which is its name in older files."""
    if "migrate" not in written:
        return written
    if "release" in written:
        raise wrong(f"{at}.migrate", "left out: it is the older name of release, and that is there as well")
    rest = {key: value for key, value in written.items() if key != "migrate"}
    return rest if written["migrate"] is None else {**rest, "release": written["migrate"]}


def _has_command(release: Any) -> bool:
    """Whether a service runs something else than itself before each rollout; only a job is what runs."""
    return isinstance(release, str) or (isinstance(release, dict) and "command" in release)


def _refuse_others(written: Mapping[str, Any], at: str, reason: Reason) -> None:
    for key in written:
        kinds = BELONGS.get(key, (reason.kind,))
        if reason.kind not in kinds:
            raise wrong(
                f"{at}.{key}", f"left out: it is for the kind {' or '.join(kinds)}, and the service is {reason}"
            )


def _managed(given: dict[str, Any], at: str, facts: ServiceFacts, reason: Reason) -> dict[str, Any]:
    known = STANDS_IN.get(facts.server or "", "")
    if facts.server and not known:
        raise Failure(
            f"{at}.x-aws: Stackhand runs no {facts.server} on AWS.",
            evidence=[f"the service is {reason}", f"managed services are built for {' and '.join(STANDS_IN)}"],
            next="remove x-aws from the service, and give the services that use it the address of a server of your own",
            code=ExitCode.PREFLIGHT,
        )
    chosen = str(given.setdefault("managed", known))
    if not chosen:
        expected = f"{' or '.join(PORTS)}, which the image does not show: the service is {reason}"
        raise wrong(f"{at}.x-aws.managed", expected)
    if known and chosen in PORTS and chosen != known:
        raise wrong(f"{at}.x-aws.managed", f"{known}, because its image is a {facts.server} server", chosen)
    if given.get("class") == SERVERLESS:
        return {**({"capacity": {}} if chosen == "rds" else {}), **given}
    return {**SIZES.get(chosen, {"class": ""}), **given}


def _on_ecs(given: dict[str, Any], at: str, facts: ServiceFacts, reason: Reason) -> dict[str, Any]:
    if reason.kind == "web" and given.setdefault("port", facts.port) is None:
        expected = f"set, for neither ports nor expose has a TCP port: the service is {reason}"
        raise wrong(f"{at}.x-aws.port", expected)
    if isinstance(given.get("host"), str):
        given["host"] = [given["host"]]
    scale = given.get("scale", {})
    if isinstance(scale, dict):
        least = scale.get("min")
        most = max(MOST[reason.kind], least) if isinstance(least, int) else MOST[reason.kind]
        given["scale"] = {"max": most, **scale}
    return given


def with_needs(
    services: Mapping[str, Service], entries: Mapping[str, Mapping[str, Any]], file: str
) -> dict[str, Service]:
    """Return the services with the managed ones that each of them may connect to.

    Raises:
        Failure: `needs` names a service that does not exist.
    """
    managed = {name: PORTS[each.aws.managed] for name, each in services.items() if isinstance(each.aws, Managed)}
    complete = dict(services)
    for name, service in services.items():
        if not isinstance(service.aws, Fargate | Job):
            continue
        if "needs" not in entries[name]["x-aws"]:
            complete[name] = _with_needs(service, service.aws, managed)
        elif unknown := [each for each in service.aws.needs if each not in services]:
            raise wrong(f"{file}: services.{name}.x-aws.needs", "services of this file", unknown[0])
    return complete


def _with_needs(service: Service, aws: Fargate | Job, managed: Mapping[str, int]) -> Service:
    needs = [name for name, port in managed.items() if name in service.depends_on or variable_with(service, name, port)]
    return msgspec.structs.replace(service, aws=msgspec.structs.replace(aws, needs=needs))


def variable_with(service: Service, name: str, port: int) -> str:
    """Return the variable in which a service has the address of another one; empty when there is none."""
    return next((key for key, value in service.environment.items() if addresses.names(key, value, name, port)), "")
