"""How a container is, and what the service in it answers: at its port, else by its own health check.

A port that is not published is asked at the container's own address, or from inside of it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
from msgspec import structs

from stackhand.containers import endpoint
from stackhand.containers.listing import Container
from stackhand.local.engines import health
from stackhand.local.engines.compose import containers
from stackhand.local.engines.status import ServiceStatus, halted
from stackhand.project import inherited
from stackhand.project.memory import HERE, HealthQuestion, Served
from stackhand.project.stack.model import Service
from stackhand.system import program

WORDS = {"created": "stopped", "restarting": "starting"}
"""Our words for a container's states, where they are not `failed`."""
INIT = "docker-init"
SAME_START = 5.0
"""Seconds between the start of a container and that of its process, by the clocks of the engine and of this kernel."""
ASKED_WITHIN = 5.0
"""Seconds for `docker exec`, which starts a shell and a client; the request itself has one."""
NO_CLIENT = 127
NOT_EXECUTABLE = 126
SCRIPT = """
has() { command -v "$1" >/dev/null 2>&1; }
if has wget; then exec wget -q -T 1 -O /dev/null "$1"; fi
if has curl; then exec curl -fsS -m 1 -o /dev/null "$1"; fi
if has python3; then exec python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=1)' "$1"; fi
if has node; then exec node -e 'fetch(process.argv[1]).then(r => process.exit(+!r.ok), () => process.exit(1))' "$1"; fi
exit 127"""
"""What images have of clients; those of applications often only their own language."""


def served(service: Service) -> Served:
    """Return what must be remembered of a service to tell its status when its file has changed.

    A port that the engine chooses is 0 here, and `target` names what it is chosen for.
    """
    main = service.main_port
    target = f"{main.target}/{main.protocol}" if main and main.published is None else ""
    if target:
        ports = (structs.replace(each, published=0) if each is main else each for each in service.ports)
        service = structs.replace(service, ports=tuple(ports))
    return Served(
        question=health.question(service),
        address=health.address(service),
        ports=[port.published for port in service.ports if port.published],
        may_finish=service.may_finish,
        replicas=service.replicas,
        target=target,
    )


def of(name: str, replicas: Sequence[Container], remembered: Served) -> ServiceStatus:
    """Return how a service is: of several containers, how that is which is worst off.

    Args:
        name: the service.
        replicas: what runs it.
        remembered: what `served` returned when it was started.
    """
    status = _of(name, containers.worst(replicas) if replicas else None, remembered)
    status, wanted = replace(status, published=containers.links(replicas)), remembered.replicas
    if len(replicas) == wanted == 1 or not replicas or status.state == "done":
        return status
    running = sum(each["State"]["Status"] == "running" for each in replicas)
    state = "failed" if status.healthy and running < wanted else status.state
    return replace(status, state=state, answer=f"{status.answer} ({running} of {wanted} containers run)")


def late(name: str, replicas: Sequence[Container], remembered: Served) -> ServiceStatus:
    """Return the status of a service that has not answered in time; the arguments are those of `of`."""
    why = _halted(containers.worst(replicas)) if replicas else ""
    return ServiceStatus.late(name, remembered.address, [], why)


def _of(name: str, container: Container | None, remembered: Served) -> ServiceStatus:
    remembered = bound(remembered, container)
    address, ports = remembered.address, remembered.ports
    if container is None:
        return ServiceStatus(name, "stopped", "not running", address, ports)
    if container["State"]["Status"] not in {"running", "paused"}:
        ended = _ended(container, may_finish=remembered.may_finish)
        return ServiceStatus(name, ended, containers.summary(container), address, ports)
    state, question = container["State"], remembered.question
    result = answer(container, question)
    checked = state.get("Health", {}).get("Status")
    why = _halted(container) if not result.healthy or question.kind == "process" else ""
    ill = bool(why) or not result.healthy or checked == "unhealthy"
    output = containers.summary(container) if ill and result.healthy and not why else result.message
    if why:
        output = why if result.healthy else f"{output}: {why}"
    waits = checked == "starting" and question.kind == "process" and not why
    return ServiceStatus(
        name,
        "starting" if waits else "unhealthy" if ill else "healthy",
        output,
        address,
        ports,
        milliseconds=result.milliseconds,
        pid=state["Pid"] or None,
        since=containers.since(container),
    )


def bound(remembered: Served, container: Container | None) -> Served:
    """Return what is remembered with the port that the engine has chosen now, which changes with each start."""
    if not remembered.target:
        return remembered
    port = containers.chosen(remembered.target, container) if container else None
    if port is None:
        return structs.replace(remembered, question=HealthQuestion(), address="")
    question = remembered.question
    if question.kind == "http":
        question = HealthQuestion("http", url=question.url.replace(":0/", f":{port}/", 1))
    elif question.kind != "process":
        question = structs.replace(question, port=port)
    address = f"{remembered.address.removesuffix(':0')}:{port}"
    return structs.replace(remembered, question=question, address=address, ports=[*remembered.ports, port])


def _ended(container: Container, *, may_finish: bool) -> str:
    state = container["State"]
    if may_finish and state["Status"] == "exited" and state["ExitCode"] == 0:
        return "done"
    if container["RestartCount"] >= containers.CRASHES:
        return "failed"
    return WORDS.get(state["Status"], "failed")


def answer(container: Container, question: HealthQuestion) -> health.Answer:
    """Return what the service in a running container answers: at its port, else by the container's own health check.

    Where there is neither, all that is known is that it runs.
    """
    check = container["State"].get("Health")
    if question.kind == "inside":
        return _asked_at_its_port(container, question)
    if question.kind != "process" or check is None:
        return health.ask(question)
    return health.Answer(check["Status"] == "healthy", f"{containers.summary(container)} (its health check)")


def _halted(container: Container) -> str:
    """Return in words why a container that runs does nothing, as far as can be seen from here; nothing else."""
    state = container["State"]
    if state["Status"] == "paused":
        return f"paused; docker unpause {containers.name_of(container)} resumes it"
    try:
        first = psutil.Process(state["Pid"])
        if abs(first.create_time() - (containers.since(container) or 0.0)) > SAME_START:
            return ""  # a process of another machine's: that of Docker Desktop, or behind a context
        return halted(next(iter(_children(first)), first.pid) if first.name() == INIT else first.pid)
    except (psutil.Error, ValueError):
        return ""


def _children(process: psutil.Process) -> list[int]:
    """Return what a process has started; psutil looks through all processes for that, for each service."""
    try:
        return [
            int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()
        ]
    except OSError:
        return [each.pid for each in process.children()]


def _asked_at_its_port(container: Container, question: HealthQuestion) -> health.Answer:
    """Return what the service in a container answers.

    Docker's own network is reachable from a Linux machine that runs it. Elsewhere (a virtual machine, another one,
    without root) a client in the container asks; where it has none, all that is known is that it runs.
    """
    if address := _address(container):
        answer = health.ask(HealthQuestion("http", url=f"http://{address}:{question.port}{question.path}"))
        if answer.healthy or answer.message[:3].isdigit() or "refused" in answer.message:
            return answer
    return from_inside(str(container["Id"]), f"http://127.0.0.1:{question.port}{question.path}")


def _address(container: Container) -> str:
    """Return its address in a network that this machine is part of; nothing where there is none."""
    if endpoint.is_remote(endpoint.address()):
        return ""
    if container["HostConfig"]["NetworkMode"] == "host":
        return HERE
    networks = (container["NetworkSettings"].get("Networks") or {}).values()
    return next((each["IPAddress"] for each in networks if each.get("IPAddress")), "")


def from_inside(identifier: str, url: str) -> health.Answer:
    """Return what a client in a container gets from a URL."""
    began = time.monotonic()
    args = ["docker", "exec", identifier, "sh", "-c", SCRIPT, "sh", url]
    try:
        done = program.run(args, environment=inherited.environment("docker"), timeout=ASKED_WITHIN)
    except subprocess.TimeoutExpired:
        return health.Answer(healthy=False, message=f"no answer within {ASKED_WITHIN:g} s")
    took = round((time.monotonic() - began) * 1000)
    if done.returncode == 0:
        return health.Answer(healthy=True, message="200 OK, asked inside", milliseconds=took)
    if done.returncode in {NO_CLIENT, NOT_EXECUTABLE}:
        return health.Answer(healthy=True, message="running (not asked: its image has no client for HTTP)")
    reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return health.Answer(healthy=False, message=f"{reason[:200]}, asked inside", milliseconds=took)
