"""How the embedded engine runs a service: one module for each thing that `x-embedded` can name."""

from __future__ import annotations

from stackhand.local.engines.embedded.servers.base import Program, Server
from stackhand.local.engines.embedded.servers.command import Command
from stackhand.local.engines.embedded.servers.nginx import Nginx, Site
from stackhand.local.engines.embedded.servers.postgres import Postgres
from stackhand.local.engines.embedded.servers.redis import Redis
from stackhand.project.stack.model import Service, Stack
from stackhand.project.state import State

__all__ = ["Program", "Server", "server_for"]

ENGINES: dict[str | None, type[Server]] = {"postgres": Postgres, "redis": Redis, "nginx": Nginx, None: Command}


def server_for(service: Service, stack: Stack, state: State) -> Server:
    """Return what runs a service that has an `x-embedded`."""
    assert service.embedded is not None  # noqa: S101 - the caller leaves the others out
    if service.embedded.engine == "nginx" and service.embedded.template is None:
        return Site(service, stack, state)
    return ENGINES[service.embedded.engine](service, stack, state)
