"""Where an emulator is: a port of this machine, and a network of its own for its containers."""

from __future__ import annotations

import os
import re
import socket
from itertools import chain

from stackhand.containers import docker
from stackhand.system import ports

LABEL = "ministack.instance"
NETWORK_KEPT = re.compile(r"not found|active endpoints|exit status 1", re.IGNORECASE)
"""Why a network is not removed: it is gone already, or a container is still going, and `Resources.left` names it."""
FROM_A_CONTAINER = "host.docker.internal"
PORTS = range(24_600, 32_000)
CACHES_BELOW, DATABASES_BELOW = 8_000, 16_000


def network_of(port: int) -> str:
    """Return the network of the emulator at a port; on the usual one, containers have no names."""
    return f"stackhand-rehearsal-{port}"


def make_network(port: int) -> str:
    """Make the network of the emulator at a port, in place of one that was left, and return its name."""
    name = network_of(port)
    remove_network(name)
    docker.run("network", "create", "--label", f"{LABEL}={socket.gethostname()}:{port}", name)
    return name


def remove_network(name: str) -> None:
    """Remove a network, if it is there and nothing uses it."""
    if docker.run("network", "ls", "--quiet", "--filter", f"name=^{name}$").stdout.strip():
        docker.run("network", "rm", name, accept=NETWORK_KEPT)


def gateway(network: str) -> str:
    """Return the address of this machine on a network of containers; their name for it, where that is not ours."""
    address = docker.run("network", "inspect", network, "--format", "{{(index .IPAM.Config 0).Gateway}}").stdout.strip()
    if not address:
        return FROM_A_CONTAINER
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return FROM_A_CONTAINER
    return address


def free_port() -> int:
    """Return a free port below those that the kernel hands out by itself, and not the one the next process looks at."""
    first = os.getpid() % len(PORTS)
    return next(port for port in chain(PORTS[first:], PORTS[:first]) if ports.is_free(port))
