"""Load the stack: from what Compose resolves, with what the `x-` fields say."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackhand.project.compose import composefiles, resolution
from stackhand.project.compose.resolution import Entry, Resolved
from stackhand.project.stack import kinds, xfields
from stackhand.project.stack.model import TARGETS, Build, Port, Service, Stack
from stackhand.project.stack.xfields import wrong


def load(root: Path, variables: Mapping[str, str]) -> Stack:
    """Return the services as Compose resolves them.

    Raises:
        Failure: Compose rejects its files, or one of our `x-` keys is wrong.
    """
    return of(root, resolution.resolve(root, variables), composefiles.label(root))


def of(root: Path, resolved: Resolved, file: str) -> Stack:
    """Return the services of what Compose has resolved from its files, which messages call `file`.

    Raises:
        Failure: one of our `x-` keys is wrong; file, key and what was expected are named.
    """
    entries: dict[str, Entry] = resolved.get("services") or {}
    jobs = {name for entry in entries.values() for name in _awaited(entry)}
    for entry in entries.values():  # an optional one may belong to a profile that nobody asks for
        entry["depends_on"] = {name: each for name, each in (entry.get("depends_on") or {}).items() if name in entries}
    fields = composefiles.OVERLAY if composefiles.OVERLAY in file else file
    services = {
        name: _service(name, entry, root, fields, job=name in jobs or bool(kinds.job_mode(entry)))
        for name, entry in entries.items()
    }
    services = kinds.with_needs(services, entries, fields)
    ordered = {name: services[name] for name in _start_order(services)}
    test = xfields.stackhand(resolved, file).test_command
    return Stack(str(resolved.get("name") or root.name), root, ordered, file, test)


def _service(name: str, entry: Entry, root: Path, file: str, *, job: bool) -> Service:
    at = f"{file}: services.{name}"
    xfields.refuse_misspelt(entry, at)
    health, embedded = xfields.health(entry, at), xfields.embedded(entry, at)
    ports = tuple(map(_port, entry.get("ports") or []))
    exposed = next(iter(kinds.exposed(entry)), None)
    for key, path in (("x-health", health), ("x-embedded.ready", embedded and embedded.ready)):
        if path and not exposed and not any(each.protocol == "tcp" for each in ports):
            raise wrong(
                f"{at}.{key}", "set together with ports or expose: its path is requested at the first port", path
            )
    facts = kinds.ServiceFacts.of(entry, embedded, job=job)
    aws = kinds.aws(entry.get("x-aws"), at, facts)
    return Service(
        name=name,
        image=entry.get("image"),
        build=_build(entry.get("build"), root),
        command=args(entry.get("command")),
        environment=_environment(entry.get("environment")),
        ports=ports,
        depends_on=tuple(entry["depends_on"]),
        restart=_restart(entry),
        checked=bool(ports or _is_checked(entry.get("healthcheck") or {})),
        job=job,
        health=health,
        embedded=embedded,
        aws=aws,
        jobs=_awaited(entry),
        follows=_followed(entry),
        optional=tuple(name for name, each in entry["depends_on"].items() if each.get("required") is False),
        replicas=int(entry.get("scale", (entry.get("deploy") or {}).get("replicas", 1))),
        exposed=exposed,
        pre_stop=bool(entry.get("pre_stop")),
        binds={
            str(each["target"]).rstrip("/"): str(each["source"])
            for each in entry.get("volumes") or []
            if each.get("type") == "bind"
        },
        kind=kinds.infer(entry.get("x-aws"), facts).kind,
    )


def _followed(entry: Entry) -> tuple[str, ...]:
    """Return the services with which it starts again: as `depends_on` says, and those whose namespaces it shares."""
    shared = [str(entry.get(key) or "") for key in ("network_mode", "ipc", "pid")]
    asked = [name for name, each in entry["depends_on"].items() if each.get("restart")]
    return tuple({*asked, *(each.removeprefix("service:") for each in shared if each.startswith("service:"))})


def _restart(entry: Entry) -> str:
    """Return whether and when it is started again; `deploy` says it in other words, which count without `restart`."""
    policy = (entry.get("deploy") or {}).get("restart_policy")
    condition = policy.get("condition", "any") if policy is not None else "none"
    return str(entry.get("restart") or {"none": "no", "any": "always"}.get(condition, condition))


def _awaited(entry: Entry) -> tuple[str, ...]:
    needs = entry.get("depends_on") or {}
    return tuple(name for name, each in needs.items() if each.get("condition") == "service_completed_successfully")


def _is_checked(check: Mapping[str, Any]) -> bool:
    return bool(check) and not check.get("disable") and check.get("test") != ["NONE"]


def _build(entry: Mapping[str, Any] | None, root: Path) -> Build | None:
    if entry is None:
        return None
    context = str(entry.get("context", "."))
    if Path(context).is_absolute():
        context = os.path.relpath(context, root)
    return Build(context, str(entry.get("dockerfile", "Dockerfile")), _texts(entry.get("args")))


def args(entry: str | list[Any] | None) -> list[str]:
    """Return a command as the words that it is run with."""
    return shlex.split(entry) if isinstance(entry, str) else [str(word) for word in entry or []]


def _environment(entry: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the variables that have a value; HEALTH_TARGETS gets one later."""
    computed = {TARGETS: ""} if TARGETS in (entry or {}) else {}
    return computed | _texts(entry)


def _texts(entry: Mapping[str, Any] | None) -> dict[str, str]:
    return {key: str(value) for key, value in (entry or {}).items() if value is not None}


def _port(entry: Mapping[str, Any]) -> Port:
    published = str(entry.get("published") or "")
    return Port(
        target=int(entry["target"]),
        published=int(published)
        if published.isdigit() and published != "0"
        else None,  # of a range, the engine takes one
        address=str(entry.get("host_ip") or ""),
        protocol=str(entry.get("protocol") or "tcp"),
    )


def _start_order(services: Mapping[str, Service]) -> list[str]:
    """Return the services, each behind those that it needs; Compose has refused cycles."""
    ordered: list[str] = []
    while len(ordered) < len(services):
        left = [name for name in services if name not in ordered]
        free = [name for name in left if not {*services[name].depends_on} & {*left}]
        ordered += free or left
    return ordered
