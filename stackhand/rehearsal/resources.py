"""What an emulator has on this machine: a port and a network of its own, containers, their volumes, and images."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from stackhand.containers import docker, listing
from stackhand.system import ports

if TYPE_CHECKING:
    from stackhand.rehearsal.emulator import Emulator

NETWORK_KEPT = re.compile(r"not found|active endpoints|exit status 1", re.IGNORECASE)
"""Why a network is not removed: it is gone already, or a container is still going, and `Resources.left` names it."""
IMAGE_KEPT = re.compile(rf"{docker.NOT_THERE.pattern}|conflict: unable to", re.IGNORECASE)
"""Why an image is not removed: it is gone already, or something uses it, and `Resources.left` names it."""
KINDS = {
    "container": ("ps", "--all", "--quiet"),
    "volume": ("volume", "ls", "--quiet"),
    "network": ("network", "ls", "--format", "{{.Name}}"),
}
"""The command that lists each kind: one for all, not one for each."""
FROM_A_CONTAINER = "host.docker.internal"
PORTS = range(24_600, 32_000)
CACHES_BELOW, DATABASES_BELOW = 8_000, 16_000


def label(port: int) -> str:
    """Return the label of what belongs to the emulator at a port."""
    return f"ministack.instance={socket.gethostname()}:{port}"


def network_of(port: int) -> str:
    """Return the network of the emulator at a port; on the usual one, containers have no names."""
    return f"stackhand-rehearsal-{port}"


def make_network(port: int) -> str:
    """Make the network of the emulator at a port, in place of one that was left, and return its name."""
    remove_network(port)
    docker.run("network", "create", "--label", label(port), network_of(port))
    return network_of(port)


def remove_network(port: int) -> None:
    """Remove the network of the emulator at a port, if it is there and nothing uses it."""
    name = network_of(port)
    if docker.run("network", "ls", "--quiet", "--filter", f"name=^{name}$").stdout.strip():
        docker.run("network", "rm", name, accept=NETWORK_KEPT)


def gateway(network: str) -> str:
    """Return the address of this machine on a network of containers; their name for it, where that is not ours."""
    address = docker.run("network", "inspect", network, "--format", "{{(index .IPAM.Config 0).Gateway}}").stdout.strip()
    with suppress(OSError), socket.socket() as probe:
        if address:
            probe.bind((address, 0))
            return address
    return FROM_A_CONTAINER


def free_port() -> int:
    """Return a free port below those that the kernel hands out by itself, and not the one the next process looks at."""
    first = os.getpid() % len(PORTS)
    return next(port for port in chain(PORTS[first:], PORTS[:first]) if ports.is_free(port))


@dataclass
class Resources:
    """The containers of an emulator, their volumes and networks, and the images pushed to it.

    Args:
        emulator: whose they are.
        names: what was seen, by kind.
    """

    emulator: Emulator
    names: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})

    def look(self) -> None:
        """Add what is there now; networks that are not only ours (bridge) do not count."""
        there = self.emulator.containers()
        self.names["container"] |= {*there}
        for each in listing.inspect(there).values():
            self.names["volume"] |= {mount["Name"] for mount in each["Mounts"] if mount["Type"] == "volume"}
            self.names["network"] |= set(each["NetworkSettings"]["Networks"]) - {"bridge", "host", "none"}

    def images(self) -> list[str]:
        """Return the ids of the images that were pushed to the emulator or pulled from it."""
        mine = f"localhost:{self.emulator.port}/"
        listed = docker.run("image", "ls", "--no-trunc", "--digests", "--format", "{{.Repository}} {{.ID}}").stdout
        return sorted({line.split()[1] for line in listed.splitlines() if line.startswith(mine)})

    def remove_images(self) -> None:
        """Remove those images; the layers stay in the builder's cache."""
        if images := self.images():
            docker.run("image", "rm", "--force", *images, accept=IMAGE_KEPT, timeout=60.0)

    def left(self) -> list[str]:
        """Return in words what is still there."""
        left = [f"{kind} {name}" for kind in KINDS for name in self._there(kind)]
        left += [f"container {each}" for each in self.emulator.containers()]
        left += [f"image {each}" for each in self.images()]
        return left + ([f"process {self.emulator.pid}, the emulator"] if self.emulator.alive else [])

    def _there(self, kind: str) -> list[str]:
        """Return the names of a kind that were seen and still exist."""
        seen = self.names[kind]
        return sorted(seen.intersection(docker.run(*KINDS[kind]).stdout.split())) if seen else []
