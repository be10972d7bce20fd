"""One container: its state, its ports, when it became healthy and why it did not, and its log."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import structs

from stackhand.cli import loglines
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import Line
from stackhand.containers import docker
from stackhand.containers.listing import Container
from stackhand.project import inherited, settings
from stackhand.project.stack.model import Port, Service

OUT_OF_MEMORY = 137
PROJECT = "com.docker.compose.project"
FOLDER = f"{PROJECT}.working_dir"
CRASHES = 2
"""How often a container may end while it starts until it is given up, for its restart policy would go on for long."""
REMOVED = re.compile(rf"{docker.NOT_THERE.pattern}|marked for removal", re.IGNORECASE)
"""What `docker logs --follow` says when its container went away."""


def name_of(container: Container) -> str:
    """Return the name people call it by."""
    return str(container["Name"]).lstrip("/")


def config_hash(container: Container) -> str:
    """Return the digest of what Compose made it from."""
    return str(container["Config"]["Labels"].get("com.docker.compose.config-hash"))


def exited(container: Container) -> bool:
    """Whether it runs no more, and will not by itself."""
    return str(container["State"]["Status"]) in {"exited", "dead", "created"}


def healthy(container: Container) -> bool:
    """Whether it runs and its health check, where it has one, passes."""
    state = container["State"]
    return bool(state["Status"] == "running" and state.get("Health", {"Status": "healthy"})["Status"] == "healthy")


def require_own(existing: Iterable[Container], root: Path) -> None:
    """Refuse to touch the containers of another checkout, which a copy of it has the name of.

    Raises:
        Failure: they were started in another folder, which is still there.
    """
    for container in existing:
        labels = container["Config"]["Labels"]
        folder = Path(labels.get(FOLDER) or root)
        if folder.exists() and not folder.samefile(root):
            raise Failure(
                f"The containers of {labels.get(PROJECT)} belong to the checkout {folder}.",
                next=f"work there; or write {settings.own_name(root)} into .env here: that makes it a stack of its own",
                code=ExitCode.PREFLIGHT,
            )


def worst(replicas: Sequence[Container]) -> Container:
    """Return that container of a service which is worst off."""
    return min(replicas, key=_rank)


def best(replicas: Sequence[Container]) -> Container:
    """Return that container of a service which is best off."""
    return max(replicas, key=_rank)


def _rank(container: Container) -> int:
    if container["State"]["Status"] != "running":
        return ("created", "dead", "exited", "restarting", "removing", "paused").index(container["State"]["Status"])
    return 6 + ("unhealthy", "starting", "healthy").index(
        container["State"].get("Health", {"Status": "healthy"})["Status"]
    )


def published(container: Container) -> list[int]:
    """Return the ports of this machine at which it is reached now."""
    by_port = container["NetworkSettings"]["Ports"] or {}
    return sorted({int(binding["HostPort"]) for bindings in by_port.values() for binding in bindings or []})


def bound(service: Service, container: Container) -> Service:
    """Return a service with the ports that the engine has chosen for it in place of those that it left to it."""
    ports = (
        structs.replace(each, published=chosen(f"{each.target}/{each.protocol}", container))
        if each.published is None
        else each
        for each in service.ports
    )
    return structs.replace(service, ports=tuple(ports))


def chosen(target: str, container: Container) -> int | None:
    """Return the port of this machine that the engine has chosen for a container's, such as 80/tcp.

    On IPv6 it may have another number than this one.
    """
    bindings = (container["NetworkSettings"]["Ports"] or {}).get(target) or []
    binding = min(bindings, key=lambda each: ":" in each["HostIp"], default=None)
    return int(binding["HostPort"]) if binding else None


def since(container: Container) -> float | None:
    """Return when it started, in seconds since the epoch; None when it does not run."""
    return _time(container["State"]["StartedAt"]) if container["State"]["Status"] == "running" else None


def seconds_to_health(container: Container) -> float:
    """Return how long it took from its start to its first passed health check; to now, when it has passed none."""
    state = container["State"]
    if state["Status"] == "exited":
        return max(0.0, _time(state["FinishedAt"]) - _time(state["StartedAt"]))
    first = next((check for check in state.get("Health", {}).get("Log") or [] if check["ExitCode"] == 0), None)
    passed = _time(first["End"]) if first else time.time()
    return max(0.0, passed - _time(state["StartedAt"]))


def summary(container: Container) -> str:
    """Return its state as people say it."""
    state = container["State"]
    if state["Status"] == "exited":
        return f"exited with {state['ExitCode']}{_reason(state)}"
    if state["Status"] == "restarting":
        return f"exited with {state['ExitCode']}{_reason(state)}, and is restarting"
    health = state.get("Health")
    if state["Status"] == "running" and health:
        return f"{health['Status']}: {last_check(container)}" if health["Status"] != "healthy" else "healthy"
    return str(state["Status"])


def last_check(container: Container) -> str:
    """Return what the last health check said."""
    checks = container["State"].get("Health", {}).get("Log") or []
    if not checks:
        return "no health check has finished yet"
    printed = str(checks[-1]["Output"]).strip() or "no output"
    return f"{printed.splitlines()[-1][:200]} (exit code {checks[-1]['ExitCode']})"


def log(name: str, service: str, count: int) -> list[Line]:
    """Return the last lines of a container's log; nothing when there is no such container."""
    with_times = docker.run("logs", "--timestamps", "--tail", str(count), name, accept=docker.NOT_THERE)
    if with_times.returncode != 0:
        return []
    lines = []
    for text in (with_times.stdout + with_times.stderr).splitlines():
        stamp, _, line = text.partition(" ")
        lines.append(Line(service, line, loglines.time_of(stamp)))
    return loglines.merged([lines])


def links(replicas: Sequence[Container]) -> list[Port]:
    """Return the ports of this machine at which containers are reached now, as the engine tells them."""
    bindings = {
        Port(int(target), int(binding["HostPort"]), binding["HostIp"], protocol)
        for container in replicas
        for key, all_of in (container["NetworkSettings"]["Ports"] or {}).items()
        for target, _, protocol in [key.partition("/")]
        for binding in all_of or []
    }
    return sorted(bindings, key=lambda port: (port.target, port.protocol, port.published or 0, port.address))


def follow(names: Mapping[str, str]) -> Iterator[Line]:
    """Yield what containers say from now on, until interrupted; `names` has their services by their names."""
    # By the current time, not --tail 0: docker takes a moment to attach, and what is said meanwhile would be lost.
    args = ["logs", "--follow", "--since", datetime.now(UTC).isoformat()]
    lines = _lines_of(
        {
            name: subprocess.Popen(
                ["docker", *args, name],
                env=inherited.environment("docker"),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
            )
            for name in names
        },
        args,
    )
    return (Line(names[line.service], line.text, line.at) for line in lines)


def _reason(state: dict[str, Any]) -> str:
    if state.get("OOMKilled"):
        return " (out of memory: raise its mem_limit)"
    if state["ExitCode"] == OUT_OF_MEMORY:
        return " (killed)"
    return f" ({state['Error']})" if state.get("Error") else ""


def _time(text: str) -> float:
    """Return an RFC 3339 time with nanoseconds as seconds since the epoch."""
    whole, _, rest = text.partition(".")
    zone = re.search(r"(Z|[+-]\d\d:\d\d)$", text)
    fraction = re.match(r"\d+", rest)
    parsed = datetime.fromisoformat(re.sub(r"(Z|[+-]\d\d:\d\d)$", "", whole) + (zone[1] if zone else "Z"))
    return parsed.timestamp() + float(f"0.{fraction[0] if fraction else 0}")


def _lines_of(children: dict[str, subprocess.Popen[bytes]], args: Sequence[str]) -> Iterator[Line]:
    """Yield the lines of several docker commands as they come; end the commands with the generator.

    Raises:
        Failure: one of them ended with an error, which its last line says.
    """
    last = dict.fromkeys(children, b"")
    rest = dict.fromkeys(children, b"")
    with selectors.DefaultSelector() as selector:
        for name, child in children.items():
            assert child.stdout is not None  # noqa: S101 - asked for when it was started
            selector.register(child.stdout, selectors.EVENT_READ, name)
        try:
            while selector.get_map():
                for key, _ in selector.select():
                    part = os.read(key.fd, 65536)
                    if not part:
                        selector.unregister(key.fileobj)
                        continue
                    *whole, rest[key.data] = (rest[key.data] + part).split(b"\n")
                    last[key.data] = [last[key.data], *whole][-1]
                    yield from (Line(key.data, text.decode("utf-8", "replace"), None) for text in whole)
            for name, child in children.items():
                code, message = child.wait(), last[name].decode("utf-8", "replace")
                if code > 0 and not REMOVED.search(message):
                    raise docker.error_of(args, code, message)
        finally:
            for child in children.values():
                child.terminate()
                child.communicate()
