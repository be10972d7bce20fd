"""An nginx of the official image: a folder of pages, or server blocks, where that image looks for them."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Sequence
from pathlib import Path

from stackhand.local.engines.embedded.accounts import Account
from stackhand.local.engines.embedded.known import PAGES, SITES, TEMPLATES
from stackhand.local.engines.embedded.servers.base import installed
from stackhand.local.engines.embedded.servers.nginx import Nginx

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

    def _account(self, server: Path) -> Account | None:
        return self.account(installed(server), *(self._source(each) for each in self.service.binds))

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
