"""Services that run here without an `x-embedded`, because their image is that of a server we have; and their ports."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shlex
from collections.abc import Iterator

from msgspec import structs

from stackhand.local.engines.embedded import processes
from stackhand.local.engines.embedded.servers.base import PORTS
from stackhand.local.engines.embedded.servers.nginx import PAGES, SITES, TEMPLATES
from stackhand.project.stack.model import Port, Service, Stack
from stackhand.project.stack.xfields import Embedded
from stackhand.project.state import State
from stackhand.system import ports

OFFICIAL = {"postgres": "postgres", "redis": "redis", "valkey/valkey": "redis", "nginx": "nginx"}
"""The servers by the names of their official images."""
OPTIONS = {"--requirepass": "REDIS_PASSWORD", "--maxmemory": "REDIS_MAXMEMORY"}
"""What a command may give the server, and the variable that says the same to ours."""
UNLIMITED = {"REDIS_MAXMEMORY": "0"}
"""As the image has it: a queue must not lose anything."""
FIRST, NUMBER = 10_000, 9_000
"""The ports that are chosen here, below those that kernels hand out."""

LONGEST = 60
"""Letters of a command that is shown whole."""
PORT = "THE_PORT_HERE"
QUOTED = re.compile(r"[\[\]{},]|: | #|^[!&*%@`\"'>|-]")
"""What YAML would not take for a part of a plain text within braces."""

Chosen = dict[str, int]


def declared(stack: Stack, state: State) -> tuple[Stack, Chosen]:
    """Return the stack as it runs here: known images have an `x-embedded`, and what listens has a port of this machine.

    The ports that were chosen come with it: `state` is to remember them.
    """
    services = {name: _known(service) for name, service in stack.services.items()}
    used = {port.published for service in services.values() for port in service.ports if port.published}
    before = state.read().chosen
    chosen: Chosen = {}
    for name, service in services.items():
        if service.embedded and (missing := _missing(service)) is not None:
            port = before.get(name) or 0
            if not port or port in used or not (processes.runs(state.run, name) or ports.is_free(port)):
                port = next(each for each in _candidates(stack, name) if each not in used and ports.is_free(each))
            chosen[name] = port
            used.add(port)
            others = tuple(each for each in service.ports if each is not missing)
            services[name] = structs.replace(service, ports=(structs.replace(missing, published=port), *others))
    return structs.replace(stack, services=services), chosen


def advice(service: Service) -> str:
    """Return what to add to a service so that it runs here; with its command, where that looks like one by itself."""
    port, words = service.main_port, service.command
    if port:
        words = [re.sub(rf"\b{port.target}\b", PORT, word) for word in words]
    command = shlex.join(words).replace(PORT, "$$PORT")
    if len(command) > LONGEST or not re.match(r"[\w./]", command):  # options for the image's own program
        command = "..."
    return f"x-embedded: {{command: {json.dumps(command) if QUOTED.search(command) else command}}}"


def is_known(service: Service) -> bool:
    """Whether it runs here as it is, with or without an `x-embedded`."""
    return _known(service).embedded is not None


def _known(service: Service) -> Service:
    image = (service.image or "").partition("@")[0]
    engine = OFFICIAL.get(re.sub(r"^(docker\.io/)?(library/)?", "", image).partition(":")[0])
    if service.embedded or service.build or engine is None:
        return service
    if engine == "nginx" and not any(each.startswith((PAGES, TEMPLATES, SITES)) for each in service.binds):
        return service  # what it serves is in its image, if anywhere
    environment = service.environment
    if engine == "redis":
        given = itertools.pairwise(service.command)
        environment = UNLIMITED | environment | {OPTIONS[name]: value for name, value in given if name in OPTIONS}
    return structs.replace(service, embedded=Embedded(engine=engine), environment=environment)  # type: ignore[arg-type]


def _missing(service: Service) -> Port | None:
    """Return the port that a service listens at and nobody has numbered; None where there is nothing to choose."""
    if service.main_port is None:
        engine = service.embedded.engine if service.embedded else None
        if engine is None and service.health and service.exposed:
            return Port(service.exposed, None)
        return Port(PORTS[engine], None) if engine else None
    return None if service.main_port.published else service.main_port


def _candidates(stack: Stack, name: str) -> Iterator[int]:
    """Yield ports, the same first ones for the same service each time."""
    start = int(hashlib.sha256(f"{stack.root}:{name}".encode()).hexdigest(), 16)
    return (FIRST + (start + step) % NUMBER for step in range(NUMBER))
