"""Whether workers have connected to what they need: nobody asks a worker how it is, and one that keeps trying runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from stackhand.cli.failure import Failure
from stackhand.containers import docker
from stackhand.project.environments import Environment
from stackhand.project.stack.model import Service, Stack
from stackhand.project.stack.xaws import Fargate, Managed
from stackhand.rehearsal.emulator import Emulator
from stackhand.system import waiting

WITHIN = 20.0
"""Seconds after a release in which a worker has to connect."""
ESTABLISHED = "01"
"""The state of a connection in /proc/net/tcp, also of one by IPv6."""
TAIL = "10"
LABELS = {"rds": "db_id", "elasticache": "rg_id"}
LONGEST = {"rds": 63, "elasticache": 40}
"""How many characters names have there."""


def require(aws: Emulator, folder: Path, stack: Stack, environment: Environment) -> Iterator[str]:
    """Yield each worker once it has connected to something that it needs; the rest may wait until there is work.

    Args:
        aws: the emulator.
        folder: of the emulator's files.
        stack: what was released.
        environment: where.

    Raises:
        Failure: one has not; its log is the evidence.
    """
    workers = [each for each in stack.services.values() if isinstance(each.aws, Fargate) and each.aws.kind == "worker"]
    log = folder / f"connections-{aws.port}.log"
    for worker in workers:
        tasks = _containers(aws, "com.amazonaws.ecs.container-name", worker.name)
        needs = dict(_managed(worker, stack))
        servers = {
            need: _containers(aws, LABELS[kind], environment.resource(need, LONGEST[kind]))
            for need, kind in needs.items()
        }
        if not any(servers.values()):
            continue
        if not waiting.until(partial(_connected, tasks, servers, needs, log), WITHIN, 0.5):
            raise Failure(
                f"{worker.name} runs, and has not connected to {' or '.join(needs)} within {WITHIN:g} s.",
                evidence=_log(tasks),
                next=f"as on AWS, {' and '.join(needs)} demand TLS and a password: fix how {worker.name} connects, "
                "then ./inv rehearse; --keep keeps everything for inspection",
            )
        yield worker.name


def _managed(worker: Service, stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield the databases and caches that a worker needs, and what AWS runs them as."""
    for need in worker.aws.needs if isinstance(worker.aws, Fargate) else ():
        managed = stack.services[need].aws
        if isinstance(managed, Managed):
            yield need, managed.managed


def _containers(aws: Emulator, label: str, value: str) -> list[str]:
    """Return the running containers of the emulator that have a label."""
    listed = docker.run("ps", "--quiet", "--filter", f"label={label}={value}").stdout.split()
    return [each for each in aws.containers() if each in listed]


def _connected(tasks: Iterable[str], servers: Mapping[str, Iterable[str]], kinds: Mapping[str, str], log: Path) -> bool:
    """Whether a server has let a task in: of databases that is noted down, and a cache shows who is there."""
    addresses = {address for each in tasks for address in _addresses(each)}
    clients = [
        _logged(each, log) if kinds[need] == "rds" else _established(each)
        for need, containers in servers.items()
        for each in containers
    ]
    return bool(addresses & set().union(*clients))


def _addresses(container: str) -> list[str]:
    described = json.loads(docker.run("container", "inspect", container, accept=docker.NOT_THERE).stdout or "[]")
    return [each["IPAddress"] for one in described for each in one["NetworkSettings"]["Networks"].values()]


def _logged(container: str, log: Path) -> set[str]:
    """Return who was let in by a database; see encryption.py."""
    lines = [line.split() for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    return {client for database, client in lines if database in _addresses(container)}


def _established(container: str) -> set[str]:
    """Return who is connected to a container; a cache drops who does not encrypt."""
    lines = docker.run("exec", container, "cat", "/proc/net/tcp", "/proc/net/tcp6").stdout.splitlines()
    remote = [fields[2].partition(":")[0] for fields in map(str.split, lines) if fields[3] == ESTABLISHED]
    # the last four bytes, from the last to the first: the whole of IPv4, or what IPv6 has of it
    return {".".join(str(byte) for byte in reversed(bytes.fromhex(each[-8:]))) for each in remote}


def _log(tasks: Iterable[str]) -> list[str]:
    return [
        line
        for each in tasks
        for stream in [docker.run("logs", "--tail", TAIL, each)]
        for line in (stream.stdout + stream.stderr).splitlines()
    ]
