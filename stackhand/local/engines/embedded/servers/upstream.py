"""What an nginx has to know of the world outside: its names, name servers and authorities; web/start says the same."""

from __future__ import annotations

import re
from pathlib import Path

from stackhand.project.values import HOST

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep the certificates of the authorities they trust: Debian and Alpine, Fedora, SUSE, macOS."""


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
