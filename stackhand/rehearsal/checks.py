"""What a rehearsal looks at beside how its verbs end: whether workers have connected, and what schedules start."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from stackhand.cli.failure import Failure
from stackhand.containers import docker
from stackhand.project.environments import Environment
from stackhand.project.stack.model import Stack
from stackhand.project.stack.xaws import Fargate, Managed
from stackhand.rehearsal.emulator import Emulator
from stackhand.release.stages.schedule import ScheduleState
from stackhand.release.target import short
from stackhand.system import waiting

WITHIN = 20.0
"""Seconds after a release in which a worker has to connect."""
ESTABLISHED = "01"
"""The state of a connection in /proc/net/tcp, also of one by IPv6."""
TAIL = "10"
LABELS = {"rds": "db_id", "elasticache": "rg_id"}
LONGEST = {"rds": 63, "elasticache": 40}
"""How many characters names have there."""


def connected(aws: Emulator, folder: Path, stack: Stack, environment: Environment) -> Iterator[str]:
    """Yield each worker once it has connected to something that it needs; the rest may wait until there is work.

    Nobody asks a worker how it is, and one that keeps trying runs. Whom databases let in is noted down in a folder.

    Raises:
        Failure: one has not; its log is the evidence.
    """
    log = folder / f"connections-{aws.port}.log"
    for worker, needs in _workers(stack):
        tasks = aws.running(f"com.amazonaws.ecs.container-name={worker}")
        servers = {
            need: aws.running(f"{LABELS[kind]}={environment.resource(need, LONGEST[kind])}")
            for need, kind in needs.items()
        }
        if not any(servers.values()):
            continue
        if not waiting.until(partial(_is_let_in, tasks, servers, needs, log), WITHIN, 0.5):
            raise Failure(
                f"{worker} runs, and has not connected to {' or '.join(needs)} within {WITHIN:g} s.",
                evidence=_log(tasks),
                next=f"as on AWS, {' and '.join(needs)} demand TLS and a password: fix how {worker} connects, "
                "then ./inv rehearse; --keep keeps everything for inspection",
            )
        yield worker


def _workers(stack: Stack) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the workers, with the databases and caches that each needs, and what AWS runs those as."""
    for worker in stack.services.values():
        if isinstance(worker.aws, Fargate) and worker.aws.kind == "worker":
            needs = {need: stack.services[need].aws for need in worker.aws.needs}
            yield worker.name, {need: each.managed for need, each in needs.items() if isinstance(each, Managed)}


def _is_let_in(tasks: Iterable[str], servers: Mapping[str, Iterable[str]], kinds: Mapping[str, str], log: Path) -> bool:
    """Whether a server has let a task in: of databases that is noted down, and a cache shows who is there."""
    addresses = {address for each in tasks for address in _addresses(each)}
    return any(
        addresses & (_logged(each, log) if kinds[need] == "rds" else _established(each))
        for need, containers in servers.items()
        for each in containers
    )


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
    streams = [docker.run("logs", "--tail", TAIL, each) for each in tasks]
    return [line for each in streams for line in (each.stdout + each.stderr).splitlines()]


def revisions(aws: Emulator, jobs: Iterable[str], prefix: str) -> dict[str, str]:
    """Return the revision that the schedule of each job starts; their group has the prefix for its name.

    Raises:
        Failure: a schedule starts no release.
    """
    found = {}
    for job in jobs:
        state = _schedule(aws, job, prefix)
        if not state.released:
            starts = short(state.definition) if state.exists else "no task, for the emulator does not have it"
            what = f"The release runs, and the schedule of {job} does not start it."
            raise Failure(what, evidence=[f"it starts {starts}"])
        found[job] = short(state.released)
    return found


def require_unchanged(before: dict[str, str], after: dict[str, str]) -> None:
    """Go on only when a failed release has left all schedules as they were.

    Raises:
        Failure: one starts something else.
    """
    changed = [f"{job}: {starts} -> {after[job]}" for job, starts in before.items() if after[job] != starts]
    if changed:
        raise Failure("A release that failed has changed what schedules start.", evidence=changed)


def _schedule(aws: Emulator, name: str, group: str) -> ScheduleState:
    scheduler = aws.client("scheduler")
    try:
        return ScheduleState(scheduler.get_schedule(Name=name, GroupName=group))
    except scheduler.exceptions.ResourceNotFoundException:
        return ScheduleState({})
