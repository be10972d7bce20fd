"""Why the container engine cannot be asked: each reason has a sentence and a remedy of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from stackhand.engines.compose import api
from stackhand.failure import ExitCode, Failure

INSTEAD = "./inv up --engine embedded needs none"
SHOWN = 3  # lines of docker's own words


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
        found = next(((pattern, say) for pattern, say in REASONS if pattern.search(message)), None)
        address = _address(message, address)
        match = found and found[0].search(message)
        reason = found[1](match, address) if found and match else _unknown(address)
        super().__init__(
            reason.what, evidence=message.splitlines()[:SHOWN], next=reason.remedy, code=ExitCode.PREFLIGHT
        )
        self.message = message
        self.stopped = bool(found and found[0] is NOBODY)
        """Whether nobody answers there, as when the engine has ended; else it may run what we cannot see."""


def is_unavailable(message: str) -> bool:
    """Whether an error says that the engine could not be asked at all."""
    return any(pattern.search(message) for pattern, _ in REASONS)


def _address(message: str, given: str) -> str:
    found = re.search(r"\b(?:at|to) ((?:unix|tcp|ssh|https?|npipe)://[^\s\"';,]+)", message)
    default = "" if _context() else api.DEFAULT_HOST
    return found[1].rstrip(".:") if found else given or os.environ.get("DOCKER_HOST") or default or "its address"


def _context() -> str:
    """Return the context in force; nothing for the default one."""
    name = os.environ.get("DOCKER_CONTEXT") or str(api.configuration().get("currentContext") or "")
    return "" if name == "default" or os.environ.get("DOCKER_HOST") else name


def _no_context(match: re.Match[str], _: str) -> _Reason:
    remedy = "docker context use default" if not os.environ.get("DOCKER_CONTEXT") else "unset DOCKER_CONTEXT"
    return _Reason(f"There is no docker context {match[1]!r}.", f"{remedy}, or one that docker context ls lists")


def _version(match: re.Match[str], address: str) -> _Reason:
    ours, is_new, limit = match[1], match[2] == "new", match[3]
    theirs = f"{'none above' if is_new else 'none below'} {limit}"
    remedy = "update the container engine" if is_new else "update the docker command"
    if os.environ.get("DOCKER_API_VERSION"):
        remedy = "unset DOCKER_API_VERSION"
    what = f"The docker command speaks version {ours} of the API, and the container engine at {address} {theirs}."
    return _Reason(what, f"{remedy}, then repeat the command")


def _permission(_: re.Match[str], address: str) -> _Reason:
    what = f"This account may not use the container engine at {address}."
    return _Reason(what, f"sudo usermod -aG docker $USER, then log in again; {INSTEAD}")


def _tls(_: re.Match[str], address: str) -> _Reason:
    remedy = "DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or the certificates of the context: docker context inspect"
    return _Reason(f"TLS with the container engine at {address} failed.", f"check {remedy}")


def _slow(match: re.Match[str], address: str) -> _Reason:
    return _Reason(
        f"The container engine at {address} did not answer{match[1] or ' in time'}.", f"restart Docker; {INSTEAD}"
    )


def _nobody(_: re.Match[str], address: str) -> _Reason:
    if os.environ.get("DOCKER_HOST"):
        what = f"DOCKER_HOST says {address}, and no container engine answers there."
        return _Reason(what, f"unset DOCKER_HOST, or start that engine; {INSTEAD}")
    if context := _context():
        what = f"The docker context {context!r} says {address}, and no container engine answers there."
        return _Reason(what, f"docker context use default, or start that engine; {INSTEAD}")
    what = f"The container engine is not running: nothing answers at {address}."
    return _Reason(what, f"start Docker (sudo systemctl start docker, or Docker Desktop); {INSTEAD}")


def _unknown(address: str) -> _Reason:
    return _Reason(
        f"The container engine at {address} cannot be asked.", "docker version says the same: put that right"
    )


def _no_command(_: re.Match[str], __: str) -> _Reason:
    return _Reason("There is no docker command on PATH.", f"install Docker; {INSTEAD}")


NO_COMMAND = "docker: command not found"
NOBODY = re.compile(r"Cannot connect to the Docker daemon|error during connect|failed to connect to the docker API")
REASONS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], _Reason]], ...] = (
    (re.compile(re.escape(NO_COMMAND)), _no_command),
    (re.compile(r'context "?([^"\n]+)"?: context not found'), _no_context),
    (re.compile(r"client version (\S+) is too (new|old)\. \w+ supported API version is ([\d.]+)"), _version),
    (re.compile(r"permission denied while trying to connect", re.IGNORECASE), _permission),
    (
        re.compile(
            r"error during connect.*(?:x509|tls:|certificate|HTTPS client)|to an HTTPS server|docker endpoint.*\.pem\b"
        ),
        _tls,
    ),
    (re.compile(r"no answer( within \S+ s)"), _slow),
    (re.compile(r"error during connect.*(?:timeout|deadline exceeded)()"), _slow),
    (NOBODY, _nobody),
    (
        re.compile(
            r"Failed to initialize|unable to resolve docker endpoint|request returned .* for API route|API version"
        ),
        lambda _, address: _unknown(address),
    ),
)
"""What docker says, and what that means; the first that fits counts."""
