"""The status service and its page in a project: what `stackhand init --status` adds to its overlay.

The entries are text, for people read them. They contain the project's own words (`${POSTGRES_PASSWORD:-…}`), as its
Compose files have them, and no value of a secret that is elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.project import resolution
from stackhand.project.model import IMAGES, Service, Stack

BASES = ("status", "stackhand-status", *(f"stackhand-status{number}" for number in range(2, 100)))
PAGE_PORTS, API_PORTS = range(3080, 3180), range(4080, 4180)
"""The ports of this machine that are tried, in this order."""
NEEDED = {"postgres": "PostgreSQL", "redis": "Redis"}
ADVICE = {"postgres": "postgres:16-alpine", "redis": "redis:7-alpine"}
PORTS = {"postgres": 5432, "redis": 6379}
REQUIREPASS = re.compile(r"--requirepass[\s=]+[\"']?((?:\$\{[^}]*\}|[^\s\"'])+)")
OF_ITS_CONTAINER = re.compile(r"\$\$\{?(\w+)\}?")
PLAIN = re.compile(r"[A-Za-z0-9_./$][A-Za-z0-9_./${}:@-]*")
"""What YAML takes for a text without quotes, beside what looks like a number or a boolean."""

HEAD = """\
x-{page}: &{page} # what the services of Stackhand's status page have in common
  init: true
  restart: on-failure:5
  read_only: true
  tmpfs: [/tmp]
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  mem_limit: 256m
  stop_grace_period: 15s

x-{page}-healthcheck: &{page}-healthcheck # twice a second until it passes once, then every ten seconds
  start_period: 60s
  start_interval: 0.5s
  interval: 10s
  timeout: 3s
  retries: 3
"""
SERVICES = """\
  # --- Stackhand's status service: three services that you may remove ------------------------------------------
  # Their images are built, and without containers their programs run, from the package: ./inv sets STACKHAND_CONTENT to
  # its folder. They have no x-aws, so they run on this machine only: the page serves /, /api/..., /health... and /version,
  # which at the load balancer are your own services'.

  {page}: # the page: http://localhost:{page_port}
    <<: *{page}
    build:
      context: ${{STACKHAND_CONTENT}}
      dockerfile: web/Dockerfile
      target: production
    environment:
      API_UPSTREAM: http://{api}:4000
      ALLOWED_HOSTS: {page},${{{variable}_HOSTS:-}} # names, beside localhost, at which the page may be opened
      STACK: ${{COMPOSE_PROJECT_NAME:-{stack}}}
    ports: ["127.0.0.1:${{{variable}_PORT:-{page_port}}}:3000"]
    depends_on: {{{api}: {{condition: service_healthy}}}}
    healthcheck:
      <<: *{page}-healthcheck
      test: [CMD, sh, /etc/stackhand/check]
    x-health: /healthz # answers 200 while it lives: what ./inv up and status ask, and the page shows
    x-embedded: {{engine: nginx, template: "${{STACKHAND_CONTENT}}/web/nginx.conf.template"}} # without containers

  {api}: # checks PostgreSQL, Redis and every service with x-health, and keeps their history
    <<: *{page}
    image: ${{COMPOSE_PROJECT_NAME:-{stack}}}-{api}
    build: &{page}-build
      context: ${{STACKHAND_CONTENT}}
      dockerfile: service/Dockerfile
      target: production
      secrets: [{{source: {page}-ca, target: ca}}]
    environment:
      <<: &{page}-database
{database}
      REDIS_URL: redis://{redis}:{redis_port}/0 # it prefixes its keys with stackhand:
{redis_password}
      ENVIRONMENT: ${{ENVIRONMENT:-development}}
      ENGINE: compose
      ALLOWED_HOSTS: {api},{page},${{{variable}_HOSTS:-}}
      HEALTH_TARGETS: ${{HEALTH_TARGETS_{api_variable}:-}} # computed: every other service with x-health
      STACK: ${{COMPOSE_PROJECT_NAME:-{stack}}}
    ports: ["127.0.0.1:${{{api_variable}_PORT:-{api_port}}}:4000"]
    depends_on:
      {postgres}: {{condition: service_started}}
      {redis}: {{condition: service_started}}
      {migrate}: {{condition: service_completed_successfully}}
    healthcheck:
      <<: *{page}-healthcheck
      test: [CMD, python, -m, service, check]
    x-health: /health
    x-embedded: # -P: a package "service" of the project is not taken for this one
      command: python -P -m service serve
      ready: /health/ready
      environment: {{ENGINE: embedded, PYTHONPATH: "${{STACKHAND_CONTENT}}"}}

  {migrate}: # a job: makes the tables, in the schema stackhand_status, and ends before the service starts
    <<: *{page}
    restart: "no"
    image: ${{COMPOSE_PROJECT_NAME:-{stack}}}-{api} # that of {api}
    build: *{page}-build
    command: python -m service migrate
    environment: *{page}-database
    depends_on: {{{postgres}: {{condition: service_started}}}} # it waits a minute for the server to accept connections
    healthcheck: {{disable: true}}
    x-embedded: {{command: python -P -m service migrate, environment: {{PYTHONPATH: "${{STACKHAND_CONTENT}}"}}}}
"""
TAIL = """\
secrets:
  {page}-ca: # this machine's CA certificates, for a build behind a proxy that re-signs TLS; never in an image
    file: ${{CA_BUNDLE:-/dev/null}}
"""


class Overlay(msgspec.Struct, frozen=True):
    """What the overlay of a project gets, as YAML.

    Args:
        names: of the page, the service and its job.
        head: entries of the top level, which come before `services:`, for they are anchors.
        services: entries of `services:`, indented by two spaces.
        tail: the key `secrets:` with its entry.
    """

    names: tuple[str, str, str]
    head: str
    services: str
    tail: str

    @property
    def text(self) -> str:
        """A whole overlay with nothing else in it."""
        return f"{self.head}\nservices:\n{self.services}\n{self.tail}"


def overlay(stack: Stack) -> Overlay:
    """Return the entries of the status service and its page for a project.

    Args:
        stack: the project's services, without an overlay that has a status service already.

    Raises:
        Failure: the stack has no PostgreSQL, or no Redis; or Compose rejects its files.
    """
    postgres, redis = _needed(stack)
    written = resolution.written(stack.root, {}).get("services") or {}
    page, api, migrate = names = _names(stack)
    used = {port.published for service in stack.services.values() for port in service.ports}
    fields = {
        **{"page": page, "api": api, "migrate": migrate, "stack": stack.name},
        **{"variable": _variable(page), "api_variable": _variable(api)},
        **{"page_port": _first(PAGE_PORTS, used), "api_port": _first(API_PORTS, used)},
        **{"postgres": postgres.name, "redis": redis.name, "redis_port": _port(redis)},
        "database": _lines(8, _database(postgres, written.get(postgres.name) or {}, _variable(page), stack.root)),
        "redis_password": _lines(6, _cache(redis, written.get(redis.name) or {}, _variable(page), stack.root)),
    }
    services = "\n".join(line for line in SERVICES.format(**fields).splitlines() if line.strip() != "-")
    return Overlay(names, HEAD.format(page=page), f"{services}\n", TAIL.format(page=page))


def _needed(stack: Stack) -> tuple[Service, Service]:
    missing = [kind for kind in NEEDED if not any(each.server == kind for each in stack.services.values())]
    if missing:
        raise Failure(
            f"The status service needs a PostgreSQL and a Redis, and {stack.file} has no "
            f"{' and no '.join(NEEDED[each] for each in missing)}.",
            evidence=[
                f"{NEEDED[each]} is recognised by x-embedded: {{engine: {each}}}, or by an image named "
                f"{', '.join(sorted(IMAGES[each]))}"
                for each in missing
            ],
            next=f"add a service with image: {' and one with image: '.join(ADVICE[each] for each in missing)}; "
            "then stackhand init --status",
            code=ExitCode.PREFLIGHT,
        )
    return stack.find("postgres"), stack.find("redis")


def _names(stack: Stack) -> tuple[str, str, str]:
    names = ((base, f"{base}-api", f"{base}-migrate") for base in BASES)
    return next(each for each in names if not {*each} & stack.services.keys())


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _first(ports: range, used: set[int | None]) -> int:
    return next(port for port in ports if port not in used)


def _port(service: Service) -> int:
    assert service.server is not None  # noqa: S101 - see _needed
    return service.main_port.target if service.main_port else PORTS[service.server]


def _database(service: Service, written: Mapping[str, Any], variable: str, root: Path) -> dict[str, str]:
    """Return the variables with the address of PostgreSQL, from those of the official image."""
    user = _given(service, written, "POSTGRES_USER", root) or service.environment.get("POSTGRES_USER") or "postgres"
    name = _given(service, written, "POSTGRES_DB", root) or service.environment.get("POSTGRES_DB") or user
    url = f"postgresql://{_in_url(user)}@{service.name}:{_port(service)}/{_in_url(name)}"
    password = _secret(service, written, "POSTGRES_PASSWORD", f"{variable}_DATABASE_PASSWORD", root)
    if not password and "POSTGRES_PASSWORD_FILE" in service.environment:
        password = _required(f"{variable}_DATABASE_PASSWORD", "the password in POSTGRES_PASSWORD_FILE")
    return {"DATABASE_URL": url, **({"DATABASE_PASSWORD": password} if password else {})}


def _cache(service: Service, written: Mapping[str, Any], variable: str, root: Path) -> dict[str, str]:
    """Return the variable with the password of Redis, from its command or REDIS_PASSWORD; nothing without one."""
    command = written.get("command") or ""
    words = command if isinstance(command, str) else " ".join(map(str, command))
    match = REQUIREPASS.search(words)
    own = OF_ITS_CONTAINER.fullmatch(match[1]) if match else None
    if match and own is None:
        return {"REDIS_PASSWORD": match[1]}
    password = _secret(service, written, own[1] if own else "REDIS_PASSWORD", f"{variable}_REDIS_PASSWORD", root)
    return {"REDIS_PASSWORD": password} if password else {}


def _secret(service: Service, written: Mapping[str, Any], key: str, asked: str, root: Path) -> str:
    """Return a secret as the project writes it; one of an env_file is asked for, because the overlay is in git."""
    if given := _given(service, written, key, root):
        return given
    return _required(asked, f"{key} of {service.name}") if service.environment.get(key) else ""


def _required(variable: str, what: str) -> str:
    return f"${{{variable}:?set it in .env to {what}}}"


def _given(service: Service, written: Mapping[str, Any], key: str, root: Path) -> str:
    """Return the value of a variable as it stands in the Compose files, or what Compose fills in for it; else ''."""
    environment = written.get("environment") or {}
    if isinstance(environment, list):
        environment = {name: value for name, _, value in (str(each).partition("=") for each in environment)}
    if key in environment:
        value = environment[key]
        return str(value) if value not in {None, ""} else f"${{{key}:-}}" if service.environment.get(key) else ""
    if key in service.environment and _reads_dotenv(written, root):
        return f"${{{key}:-}}"
    return ""


def _reads_dotenv(written: Mapping[str, Any], root: Path) -> bool:
    """Whether its only env_file is `.env`, which Compose reads for the files themselves, too."""
    files = written.get("env_file") or []
    entries = files if isinstance(files, list) else [files]
    paths = [str(each.get("path") if isinstance(each, dict) else each) for each in entries]
    return bool(paths) and all((root / path).resolve() == (root / ".env").resolve() for path in paths)


def _in_url(text: str) -> str:
    return text if "${" in text else quote(text.replace("$$", "$"), safe="")


def _lines(indent: int, variables: Mapping[str, str]) -> str:
    lines = [f"{key}: {_yaml(value)}" for key, value in variables.items()]
    return f"\n{' ' * indent}".join(["", *lines])[1:] or "-"


def _yaml(text: str) -> str:
    """Return a text as YAML reads it as one: quoted, unless nobody could take it for anything else."""
    if PLAIN.fullmatch(text) and not re.fullmatch(
        r"[\d.+-]*|\d[\d._eExXoO+-]*|(?i:true|false|null|yes|no|on|off|y|n)", text
    ):
        return text
    return "'{}'".format(text.replace("'", "''"))
