"""Request a path at a port that is not published: at the container's own address, or from inside of it."""

from __future__ import annotations

import subprocess
import time

from stackhand.containers import api
from stackhand.containers.listing import Container
from stackhand.local.engines import health
from stackhand.project import inherited
from stackhand.project.memory import HERE, HealthQuestion
from stackhand.system import program

WITHIN = 5.0
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


def ask(container: Container, question: HealthQuestion) -> health.Answer:
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
    if api.is_remote(api.address()):
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
        done = program.run(args, environment=inherited.environment("docker"), timeout=WITHIN)
    except subprocess.TimeoutExpired:
        return health.Answer(healthy=False, message=f"no answer within {WITHIN:g} s")
    took = round((time.monotonic() - began) * 1000)
    if done.returncode == 0:
        return health.Answer(healthy=True, message="200 OK, asked inside", milliseconds=took)
    if done.returncode in {NO_CLIENT, NOT_EXECUTABLE}:
        return health.Answer(healthy=True, message="running (not asked: its image has no client for HTTP)")
    reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return health.Answer(healthy=False, message=f"{reason[:200]}, asked inside", milliseconds=took)
