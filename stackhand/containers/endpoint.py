"""Which container engine the docker command asks, and why that cannot be asked: each reason has a remedy of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from stackhand.cli.failure import ExitCode, Failure

UNIX = "unix://"
LOCAL = (UNIX, "npipe://", "fd://")
DEFAULT_HOST = f"{UNIX}/var/run/docker.sock"
VACANT_WITHIN = 1.0
INSTEAD = "./inv up --engine embedded works without"
SHOWN = 3  # lines of docker's own words


def context() -> str:
    """Return the context of the docker command that is in force; nothing for the default one."""
    name = os.environ.get("DOCKER_CONTEXT") or str(configuration().get("currentContext") or "")
    return "" if name == "default" or os.environ.get("DOCKER_HOST") else name


def address() -> str:
    """Return the address that the docker command would ask; nothing where its context is not to be found."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    if not (name := context()):
        return DEFAULT_HOST
    settings = _settings("contexts", "meta", hashlib.sha256(name.encode()).hexdigest(), "meta.json")
    return str(settings.get("Endpoints", {}).get("docker", {}).get("Host") or "")


def switch() -> str:
    """Return the command after which docker asks the engine of this machine."""
    if os.environ.get("DOCKER_HOST"):
        return "unset DOCKER_HOST"
    return "unset DOCKER_CONTEXT" if os.environ.get("DOCKER_CONTEXT") else "docker context use default"


def is_remote(host: str) -> bool:
    """Whether an address is reached by a network, and may be as slow as one."""
    return bool(host) and not host.startswith(LOCAL)


def is_vacant(host: str) -> bool:
    """Whether an address is a socket of this machine at which no process listens."""
    if not host.startswith(UNIX):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(VACANT_WITHIN)
        try:
            probe.connect(host.removeprefix(UNIX))
        except (FileNotFoundError, ConnectionRefusedError):
            return True
        except (OSError, ValueError):  # it may not be used, or is slow; or no path
            return False
        return False


def local_socket(host: str = "") -> str | None:
    """Return the path of the socket at an address, or else of the one that the docker command would ask.

    None when that is elsewhere.
    """
    host = host or address()
    return host.removeprefix(UNIX) if host.startswith(UNIX) else None


def folder() -> Path | None:
    """Return the folder of the docker command's settings; None for an account without a home, or without a name."""
    named = os.environ.get("DOCKER_CONFIG")
    try:
        return Path(named) if named else Path.home() / ".docker"
    except RuntimeError:
        return None


def configuration() -> dict[str, Any]:
    """Return the settings of the docker command, from its `config.json`."""
    return _settings("config.json")


def _settings(*path: str) -> dict[str, Any]:
    place = folder()
    try:
        content = json.loads(place.joinpath(*path).read_text(encoding="utf-8")) if place else {}
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class _Reason(NamedTuple):
    what: str
    remedy: str


class Unavailable(Failure):
    """The container engine cannot be asked, so that nothing is known of what runs there.

    Args:
        message: docker's own words.
        address: of the engine, where the message does not tell; without it, the settings do.
    """

    def __init__(self, message: str, address: str = "") -> None:
        pattern, explain = next((each for each in REASONS if each[0].search(message)), (ANYTHING, _unknown))
        self.address = _address(message, address)
        match = pattern.search(message) or ANYTHING.match("")
        assert match  # noqa: S101 - it matches anything
        reason = explain(match, self.address or "its address")
        super().__init__(
            reason.what, evidence=message.splitlines()[:SHOWN], next=reason.remedy, code=ExitCode.PREFLIGHT
        )
        self.message = message
        self.stopped = explain is _nobody and is_vacant(self.address)
        """Whether no process listens at its socket of this machine; else it may run what we cannot see."""


def is_unavailable(message: str) -> bool:
    """Whether an error says that the engine could not be asked at all."""
    return any(pattern.search(message) for pattern, _ in REASONS)


def _address(message: str, given: str) -> str:
    match = re.search(r"\b(?:at|to) ((?:unix|tcp|ssh|https?|npipe)://[^\s\"';,]+)", message)
    return match[1].rstrip(".:") if match else given or address()


def _no_context(match: re.Match[str], _: str) -> _Reason:
    remedy = "docker context use default" if not os.environ.get("DOCKER_CONTEXT") else "unset DOCKER_CONTEXT"
    return _Reason(f"There is no docker context {match[1]!r}.", f"{remedy}, or one that docker context ls lists")


def _version(match: re.Match[str], address: str) -> _Reason:
    ours, is_new, limit = match[1], match[2] == "new", match[3]
    theirs = f"{'none above' if is_new else 'none below'} {limit}"
    remedy = "update the container engine" if is_new else "update the docker command"
    if os.environ.get("DOCKER_API_VERSION"):
        remedy = "unset DOCKER_API_VERSION"
    what = f"The docker command uses API version {ours}, and the container engine at {address} {theirs}."
    return _Reason(what, f"{remedy}, then repeat the command")


def _permission(_: re.Match[str], address: str) -> _Reason:
    what = f"This account has no permission to use the container engine at {address}."
    return _Reason(what, f"sudo usermod -aG docker $USER, then log in again; {INSTEAD}")


def _tls(_: re.Match[str], address: str) -> _Reason:
    remedy = "DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or the certificates of the context: docker context inspect"
    return _Reason(f"TLS with the container engine at {address} failed.", f"check {remedy}")


def _ssh(match: re.Match[str], address: str) -> _Reason:
    output = match[1]
    what = next((what for pattern, what in SSH.items() if re.search(pattern, output)), "ssh to {} failed.")
    target = urlsplit(address)
    login = f"-p {target.port} " if target.port else ""
    login += target.netloc.rpartition(":")[0] if target.port else target.netloc or "to its host"
    return _Reason(
        what.format(f"the container engine at {address}"), f"fix what this shows: ssh {login} docker version"
    )


def _no_host(match: re.Match[str], address: str) -> _Reason:
    what = f"The container engine at {address} cannot be reached: the host name {match[1]} has no address."
    return _Reason(what, f"check the name, this machine's network and its VPN; {INSTEAD}")


def _slow(match: re.Match[str], address: str) -> _Reason:
    remedy = "check that host and the network to it" if is_remote(address) else "restart Docker"
    return _Reason(f"The container engine at {address} did not answer{match[1] or ' in time'}.", f"{remedy}; {INSTEAD}")


def _nobody(_: re.Match[str], asked: str) -> _Reason:
    if asked == os.environ.get("DOCKER_HOST"):
        what = f"No container engine answers at {asked}, which DOCKER_HOST names."
        return _Reason(what, f"unset DOCKER_HOST, or start that engine; {INSTEAD}")
    if (name := context()) and asked == address():
        what = f"No container engine answers at {asked}, which the docker context {name!r} names."
        return _Reason(what, f"docker context use default, or start that engine; {INSTEAD}")
    if is_remote(asked):
        return _Reason(f"No container engine answers at {asked}.", f"start it, or reach its host; {INSTEAD}")
    what = f"The container engine is not running: nothing answers at {asked}."
    return _Reason(what, f"start Docker (sudo systemctl start docker, or Docker Desktop); {INSTEAD}")


def _closed(_: re.Match[str], address: str) -> _Reason:
    what = f"The container engine at {address} closed the connection without an answer."
    return _Reason(what, f"repeat the command once docker version answers; {INSTEAD}")


def _unknown(_: re.Match[str], address: str) -> _Reason:
    return _Reason(f"The container engine at {address} is not usable.", "docker version shows the same error: fix that")


def _no_integration(match: re.Match[str], _: str) -> _Reason:
    convert = "wsl --set-version DISTRIBUTION 2, then " if match[1] == "1" else ""
    remedy = f"{convert}start Docker Desktop and enable this distribution (Settings, Resources, WSL integration)"
    return _Reason("Docker Desktop has no docker command for this WSL distribution.", f"{remedy}; {INSTEAD}")


def _no_command(_: re.Match[str], __: str) -> _Reason:
    return _Reason("There is no docker command on PATH.", f"install Docker; {INSTEAD}")


NO_COMMAND = "docker: command not found"
ANYTHING = re.compile("")
CONNECT = "error during connect"
SSH = {
    "Permission denied": "ssh has no key that {} accepts.",
    "Could not resolve hostname": "The host of {} cannot be found: its name does not resolve.",
    "Host key verification failed": "ssh does not know the host key of {}.",
    "timed out|refused|No route|unreachable": "The host of {} does not answer ssh.",
    "command not found": "The host of {} has no docker command.",
}
"""What ssh says, and what that means, of the container engine and its address."""
REASONS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], _Reason]], ...] = (
    (re.compile(f"^{re.escape(NO_COMMAND)}$"), _no_command),
    (re.compile(r"could not be found in this WSL (\d) distro"), _no_integration),
    (re.compile(r'context "?([^"\n]+)"?: context not found'), _no_context),
    (re.compile(r"client version (\S+) is too (new|old)\. \w+ supported API version is ([\d.]+)"), _version),
    (re.compile(r"permission denied while trying to connect", re.IGNORECASE), _permission),
    (re.compile(r"command \[ssh .*has exited with (.*)", re.DOTALL), _ssh),
    (re.compile(rf"(?:{CONNECT}|docker API at).*\blookup (\S+?)(?: on \S+)?: "), _no_host),
    (
        re.compile(rf"{CONNECT}.*(?:x509|tls:|certificate|HTTPS client)|to an HTTPS server|docker endpoint.*\.pem\b"),
        _tls,
    ),
    (re.compile(r"no answer( within \S+ s)"), _slow),
    (re.compile(rf"{CONNECT}.*(?:timeout|deadline exceeded)()"), _slow),
    (
        re.compile(
            r"Cannot connect to the Docker daemon|failed to connect to the docker API"
            rf"|{CONNECT}.*(?:refused|no route|unreachable|no such file|cannot find the file)"
        ),
        _nobody,
    ),
    (re.compile(CONNECT), _closed),
    (
        re.compile(
            r"Failed to initialize|unable to resolve docker endpoint|request returned .* for API route|API version"
        ),
        _unknown,
    ),
)
"""What docker says, and what that means; the first that fits counts."""
