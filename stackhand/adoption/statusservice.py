"""The status service and its page in a project: what `stackhand init --status` adds to its overlay.

The entries are text, for people read them. They have the project's own words, such as `${POSTGRES_PASSWORD:-x}`, as
its Compose files have them, and never the value of a secret that these files do not contain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.compose import resolution
from stackhand.project.stack.kinds import IMAGES
from stackhand.project.stack.model import Service, Stack

TEMPLATE = Path(__file__).parent / "templates" / "statusservice.yaml"
MARK = "  # --- Stackhand's status service"
"""How the entries begin."""
BASES = ("status", "stackhand-status", *(f"stackhand-status{number}" for number in range(2, 100)))
PAGE_PORTS, API_PORTS = range(3080, 3180), range(4080, 4180)
"""The ports of this machine that are tried, in this order."""
LOCAL = (
    "the status service and its page run on this machine only: a release builds what its commit has, and theirs is in "
    "the package; and the load balancer routes by path, where the page would need / and /api/* of your own site"
)
"""Why they have no x-aws."""
NEEDED = {"postgres": "PostgreSQL", "redis": "Redis"}
ADVICE = {"postgres": "postgres:16-alpine", "redis": "redis:7-alpine"}
PORTS = {"postgres": 5432, "redis": 6379}
HARDENED = """\
    init: true
    read_only: true
    tmpfs: [/tmp]
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    mem_limit: 256m
    restart: {restart}"""
SECRETS = """\
secrets:
  {page}-ca: # this machine's CA certificates, for a build behind a proxy that re-signs TLS; in no image
    file: ${{CA_BUNDLE:-/dev/null}}
"""
REQUIREPASS = re.compile(r"--requirepass[\s=]+[\"']?((?:\$\{[^}]*\}|[^\s\"'])+)")
OF_ITS_CONTAINER = re.compile(r"\$\$\{?(\w+)\}?")
PLAIN = re.compile(r"(?!true$|false$|null$|yes$|no$|on$|off$)(?:[A-Za-z_/]|\$\{)(?:[\w./:@?+=-]|\$\{[\w:?-]*\})*")
"""What YAML takes for a text without quotes, whatever reads it."""


class Overlay(msgspec.Struct, frozen=True):
    """What the overlay of a project gets, as YAML.

    Args:
        names: of the page, the service and its job.
        services: entries for `services:`, indented by two spaces.
        secrets: the key `secrets:` of the top level with its entry.
    """

    names: tuple[str, str, str]
    services: str
    secrets: str


def overlay(stack: Stack) -> Overlay:
    """Return the entries of the status service and its page for a stack, as its own Compose files have it.

    Raises:
        Failure: the stack has no PostgreSQL or no Redis, or Compose rejects its files.
    """
    postgres, redis = _needed(stack)
    written = resolution.written(stack.root).get("services") or {}
    page, api, migrate = names = _names(stack)
    used = {port.published for service in stack.services.values() for port in service.ports}
    values = {
        "page": page,
        "api": api,
        "migrate": migrate,
        "stack": stack.name,
        "variable": _variable(page),
        "api_variable": _variable(api),
        "page_port": str(next(port for port in PAGE_PORTS if port not in used)),
        "api_port": str(next(port for port in API_PORTS if port not in used)),
        "postgres_service": postgres.name,
        "redis_service": redis.name,
        "redis": f"{redis.name}:{_port(redis)}",
        **_database(_Written(postgres, written.get(postgres.name) or {}, stack.root), _variable(page)),
        "redis_password": _cache(_Written(redis, written.get(redis.name) or {}, stack.root), _variable(page)),
    }
    return Overlay(names, _filled(values, migrate), SECRETS.format(page=page))


def _filled(values: Mapping[str, str], migrate: str) -> str:
    """Return the template with its values; a line whose value is empty is left out."""
    lines: list[str] = []
    service = ""
    for line in TEMPLATE.read_text(encoding="utf-8").splitlines():
        service = match[1] if (match := re.match(r"  @(\w+)@:", line)) else service
        if line == "@hardened@":
            restart = '"no"' if values.get(service) == migrate else "on-failure:5"
            lines += HARDENED.format(restart=restart).splitlines()
        elif all(values[name] for name in re.findall(r"@(\w+)@", line)):
            lines.append(re.sub(r"@(\w+)@", lambda match: values[match[1]], line))
    return "\n".join([*lines, ""])


def _needed(stack: Stack) -> tuple[Service, Service]:
    missing = [kind for kind in NEEDED if not any(each.server == kind for each in stack.services.values())]
    if missing:
        raise Failure(
            f"The status service needs a PostgreSQL and a Redis, but {stack.file} has no "
            f"{' and no '.join(NEEDED[each] for each in missing)}.",
            evidence=[f"a service is one by its image: {', '.join(sorted(IMAGES[each]))}" for each in missing],
            next=f"add a service with {' and one with '.join(f'image: {ADVICE[each]}' for each in missing)}, "
            "then stackhand init --status",
            code=ExitCode.PREFLIGHT,
        )
    return stack.find("postgres"), stack.find("redis")


def _names(stack: Stack) -> tuple[str, str, str]:
    names = ((base, f"{base}-api", f"{base}-migrate") for base in BASES)
    return next(each for each in names if not {*each} & stack.services.keys())


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _port(service: Service) -> int:
    return service.main_port.target if service.main_port else PORTS[str(service.server)]


class _Written(msgspec.Struct, frozen=True):
    """A service as Compose resolves it, and as its files have it."""

    service: Service
    entry: Mapping[str, Any]
    root: Path

    def value(self, key: str) -> str:
        """Return a variable as the files have it, or as Compose fills it in from `.env`; empty: neither."""
        environment = self.entry.get("environment") or {}
        if isinstance(environment, list):
            environment = dict(str(each).partition("=")[::2] for each in environment)
        if environment.get(key) not in {None, ""}:
            return str(environment[key])
        passed = key in environment or self._reads_dotenv()
        return f"${{{key}:-}}" if passed and self.service.environment.get(key) else ""

    def secret(self, key: str, variable: str) -> str:
        """Return a secret likewise; one of another env_file is asked for in a variable, for the overlay is in git."""
        required = f"${{{variable}:?set it in .env to the {key} of {self.service.name}}}"
        return self.value(key) or (required if self.service.environment.get(key) else "")

    def _reads_dotenv(self) -> bool:
        """Whether its one env_file is `.env`, from which Compose fills in the files as well."""
        files = self.entry.get("env_file") or []
        paths = [
            each["path"] if isinstance(each, dict) else each for each in (files if isinstance(files, list) else [files])
        ]
        return {(self.root / path).resolve() for path in paths} == {(self.root / ".env").resolve()}


def _database(written: _Written, variable: str) -> dict[str, str]:
    """Return the address of PostgreSQL and its password, from the variables of the official image."""
    service = written.service
    user = written.value("POSTGRES_USER") or service.environment.get("POSTGRES_USER") or "postgres"
    name = written.value("POSTGRES_DB") or service.environment.get("POSTGRES_DB") or user
    asked = f"{variable}_DATABASE_PASSWORD"
    password = written.secret("POSTGRES_PASSWORD", asked)
    if not password and "POSTGRES_PASSWORD_FILE" in service.environment:
        password = f"${{{asked}:?set it in .env to what POSTGRES_PASSWORD_FILE of {service.name} has}}"
    url = f"postgresql://{_in_url(user)}@{service.name}:{_port(service)}/{_in_url(name)}"
    return {"database_url": _yaml(url), "database_password": _yaml(password)}


def _cache(written: _Written, variable: str) -> str:
    """Return the password of Redis, from its command or REDIS_PASSWORD; empty: it has none."""
    command = written.entry.get("command") or ""
    match = REQUIREPASS.search(command if isinstance(command, str) else " ".join(map(str, command)))
    name = OF_ITS_CONTAINER.fullmatch(match[1]) if match else None
    if match and name is None:
        return _yaml(match[1])
    return _yaml(written.secret(name[1] if name else "REDIS_PASSWORD", f"{variable}_REDIS_PASSWORD"))


def _in_url(text: str) -> str:
    return text if "${" in text else quote(text.replace("$$", "$"), safe="")


def _yaml(text: str) -> str:
    return text if not text or PLAIN.fullmatch(text) else "'{}'".format(text.replace("'", "''"))
