"""Where an emulator is on this machine: its port, and the addresses at which it listens."""

from __future__ import annotations

import os
import socket
from itertools import chain

from stackhand import ROOT
from stackhand.containers import docker
from stackhand.project import ports

PYTHON = ROOT / ".venv" / "tools" / "ministack" / "bin" / "python"
"""Asked for the module: a script of `bin` names its Python by the path of the checkout that it was installed from."""
APPLICATION = "stackhand.rehearsal.aws:app"
FROM_A_CONTAINER = "host.docker.internal"
PORTS = range(24_600, 32_000)


def command(port: int, gateway: str) -> list[str]:
    """Return the command that serves the emulator to this machine and its containers, and to nobody else.

    Its own command, `ministack`, listens at one address only, and tasks ask the load balancer for each other.
    """
    addresses = ["127.0.0.1", *([] if gateway == FROM_A_CONTAINER else [gateway])]
    binds = [word for address in addresses for word in ("--bind", f"{address}:{port}")]
    options = ["--keep-alive", "75", "--workers", "0"]  # 0: in one process
    return [str(PYTHON), "-m", "hypercorn", APPLICATION, *binds, *options]


def gateway() -> str:
    """Return the address of this machine on the network of containers; their name for it, where that is not ours."""
    found = docker.run("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").stdout.strip()
    if not found:
        return FROM_A_CONTAINER
    with socket.socket() as probe:
        try:
            probe.bind((found, 0))
        except OSError:
            return FROM_A_CONTAINER
    return found


def free_port() -> int:
    """Return a free port below those that the kernel hands out by itself, and not the one the next process looks at."""
    first = os.getpid() % len(PORTS)
    return next(port for port in chain(PORTS[first:], PORTS[:first]) if ports.is_free(port))
