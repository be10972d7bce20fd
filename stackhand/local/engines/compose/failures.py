"""Why a start of containers failed, from what Compose said and how the containers are, and what to do about it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import listing
from stackhand.containers.endpoint import is_unavailable
from stackhand.containers.listing import Container
from stackhand.local.engines import damage
from stackhand.local.engines.compose import containers, volumes

LOG_LINES = 20
DISK = "free space on the disk of the container engine (docker system prune removes unused data), then ./inv up"
HOOK = re.compile(
    r'service "(?P<service>[^"]+)" pre_start\[(?P<number>\d+)\] exited with code (?P<code>\d+) '
    r"\(hook container (?P<container>\w+)"
)


def failure(service: str, container: Container, what: str) -> Failure:
    """Return the failure "SERVICE WHAT." of one that does not get healthy: its last check and its last lines."""
    name = containers.name_of(container)
    where = f"log: docker logs {name}; the container is kept"
    lines = _end_of_log(name, service)
    checks = ["last health check: " + containers.last_check(container)] if container["State"].get("Health") else []
    return Failure(
        f"{service} {what}.",
        evidence=[*checks, *(lines or ["(no output)"]), *hints(container, lines), where],
        next=remedy(service, container, lines),
        code=ExitCode.UNHEALTHY,
    )


def _end_of_log(name: str, service: str) -> list[str]:
    """Return the last lines of a log as evidence; why there are none must not hide what they were wanted for."""
    try:
        return [line.text for line in containers.log(name, service, LOG_LINES)]
    except Failure as failure:
        return [f"its log cannot be read: {(*failure.evidence, failure.what)[0]}"]


def engine_stopped(message: str) -> Failure:
    """Return the failure of a start during which the engine went away, with its last words."""
    return Failure(
        "The container engine stopped answering during the start.",
        evidence=[message],
        next="start it again, then ./inv up",
        code=ExitCode.PREFLIGHT,
    )


def up_failed(message: str, existing: Mapping[str, Container], out: Sequence[str]) -> Failure:
    """Return the failure of `docker compose up`, from what it said and how the containers are."""
    if is_unavailable(message) or "EOF" in message:
        return engine_stopped(message)
    port = re.search(r"(?:Bind for|listen tcp4?) [\d.]+:(\d+)", message)
    if port:
        holder = listing.publisher(int(port[1])) or "another process"
        return Failure(
            f"Port {port[1]} is taken.",
            evidence=[f"{port[1]}: {holder}", message],
            next="./inv up --free-ports",
            code=ExitCode.PORT_TAKEN,
        )
    taken = re.search(r'The container name "/?([^"]+)" is already in use', message)
    if taken:
        return _name_taken(taken[1])
    if hook := HOOK.search(message):
        return _hook_failed(hook)
    ill = {name: each for name, each in existing.items() if not (containers.healthy(each) or _done(each))}
    if ill:  # those that still start are not what Compose gave up for
        named = {name: f"container {containers.name_of(each)} " in message for name, each in ill.items()}
        service = max(ill, key=lambda name: named[name])
        container = ill[service]
        return failure(service, container, f"{_fate(container, message)}: {containers.summary(container)}")
    return Failure(
        "Compose could not start the services.",
        evidence=[*list(out)[-10:], message],
        next="./inv doctor",
        code=ExitCode.UNHEALTHY,
    )


def _hook_failed(hook: re.Match[str]) -> Failure:
    """Return the failure of a `pre_start` command, whose container Compose keeps."""
    return Failure(
        f"{hook['service']} was not started: its pre_start command {hook['number']} exited with code {hook['code']}.",
        evidence=[line.text for line in containers.log(hook["container"], hook["service"], LOG_LINES)] or ["no output"],
        next=f"fix it, then ./inv up (its log: docker logs {hook['container']})",
        code=ExitCode.UNHEALTHY,
    )


def _done(container: Container) -> bool:
    return containers.exited(container) and container["State"]["ExitCode"] == 0


def _fate(container: Container, message: str) -> str:
    """Return what became of a container that Compose waited for.

    One that ended may run again by now, for its restart policy is quicker than our look: Compose's word tells.
    """
    ended = re.search(rf"container {re.escape(containers.name_of(container))} exited", message)
    if ended or containers.exited(container) or container.get("RestartCount", 0):
        return "stopped while it started"
    return "did not become healthy"


def _name_taken(name: str) -> Failure:
    labels = (listing.inspect([name]).get(name) or {}).get("Config", {}).get("Labels") or {}
    project = labels.get(containers.PROJECT)
    folder = labels.get(containers.FOLDER)
    owner = f"the Compose project {project} in {folder}" if project else "a container that Compose did not create"
    return Failure(
        f"The container name {name} is taken by {owner}.",
        next=f"docker rm --force {name}, or set another COMPOSE_PROJECT_NAME in .env",
        code=ExitCode.PREFLIGHT,
    )


def remedy(service: str, container: Container, lines: Sequence[str]) -> str:
    """Return the next command after a container did not get healthy; damaged data is moved away, never removed."""
    if damage.other_postgresql(lines):
        return "use the image of that version, or ./inv down --volumes, which removes the data"
    if damage.disk_full(lines):
        return DISK
    if damage.postgres(lines) and (
        volume := volumes.volume_with(container, volumes.folder_of_postgres(container["Config"].get("Env") or []))
    ):
        return f"{_move_away(volume, container)}, and ./inv db.restore NAME if you have a snapshot"
    if damage.redis(lines) and (volume := volumes.volume_with(container, volumes.REDIS)):
        return f"{_move_away(volume, container)}, which starts empty"
    return f"fix it, then ./inv up (full log: ./inv logs {service})"


def hints(container: Container, lines: Sequence[str]) -> list[str]:
    """Return further ways: a damaged append-only file can be cut off at the damage."""
    file, volume = damage.truncatable(lines), volumes.volume_with(container, volumes.REDIS)
    if file is None or volume is None or not file.endswith(".incr.aof"):
        return []
    path = f"/data/appendonlydir/{file}"
    check = ["docker", "run", "--rm", "-it", "-v", f"{volume}:/data", _image(container)]
    command = shlex.join([*check, "redis-check-aof", "--fix", path])
    return [f"{file} in the volume {volume} is damaged; to keep the data before the damage: {command}"]


def _move_away(volume: str, container: Container) -> str:
    """Return the commands that keep a volume's content in another one, and make room for a new one."""
    aside = f"{volume}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"  # of its own: nothing is mixed with another day's
    places = ["-v", f"{volume}:/from:ro", "-v", f"{aside}:/to"]
    copy = ["docker", "run", "--rm", "--user", "0", "--entrypoint", "cp", *places, _image(container)]
    command = shlex.join([*copy, "-a", "/from/.", "/to"])
    return f"./inv down && {command} && docker volume rm {volume}, then ./inv up"


def _image(container: Container) -> str:
    return str(container["Config"]["Image"])
