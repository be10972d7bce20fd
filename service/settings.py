"""The settings of the service, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qs, unquote

from service import values

DATABASE_PARTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "DB_HOST": ("host", values.host),
    "DB_NAME": ("name", str),
    "DB_USER": ("user", str),
}
VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "environment": ("ENVIRONMENT", str),
    "log_level": ("LOG_LEVEL", values.level),
    "probe_interval": ("PROBE_INTERVAL", values.seconds),
    "probe_deadline": ("PROBE_DEADLINE", values.seconds),
    "health_rise": ("HEALTH_RISE", values.count),
    "health_fall": ("HEALTH_FALL", values.count),
    "start_grace": ("START_GRACE", values.seconds_or_zero),
    "database_wait": ("DATABASE_WAIT", values.seconds),
    "pool_size": ("POOL_SIZE", values.count),
    "statement_timeout": ("STATEMENT_TIMEOUT", values.seconds),
    "threads": ("THREADS", values.count),
    "stop_within": ("SHUTDOWN_WITHIN", values.seconds),
    "sample_interval": ("SAMPLE_INTERVAL", values.half_a_minute),
    "retention_days": ("RETENTION_DAYS", values.count),
    "retention_minutes_days": ("RETENTION_MINUTES_DAYS", values.count),
    "cache_ttl": ("CACHE_TTL", values.seconds),
    "health_targets": ("HEALTH_TARGETS", values.targets),
    "details_token": ("HEALTH_DETAILS_TOKEN", str),
    "notes_token": ("NOTES_TOKEN", str),
    "allowed_hosts": ("ALLOWED_HOSTS", values.hosts),
    "cors_origins": ("CORS_ORIGINS", values.origins),
    "metrics_emf": ("METRICS_EMF", values.switch),
    "stack": ("STACK", str),
    "commit": ("COMMIT", str),
    "built_at": ("BUILT_AT", str),
}
"""The settings that one variable says by itself; the default of each is that of its field."""
SCHEMA = "stackhand_status"
"""Where the tables are. It is no likely role: PostgreSQL creates what a role creates in the schema of its name."""


class SettingsError(ValueError):
    """Variables are missing or invalid; the message names all of them."""


@dataclass(frozen=True)
class Address:
    """The address of a dependency, with credentials.

    Args:
        host: name or address.
        port: TCP port.
        user: account; empty for none.
        password: never printed.
        name: name or number of the database.
        tls: whether to encrypt and to verify the certificate of the server.
        ca: path of a PEM bundle to verify it with; empty for the system's.
        schema: where the service's tables are in PostgreSQL; empty: the search_path of the account.
    """

    host: str
    port: int
    user: str
    password: str
    name: str
    tls: bool = False
    ca: str = ""
    schema: str = ""

    def __repr__(self) -> str:
        return f"Address({self.host}:{self.port}/{self.name})"


NO_CACHE = Address("", 0, "", "", "0")


@dataclass(frozen=True)
class Settings:
    """The settings of one process.

    Args:
        host: address to listen on.
        port: port to listen on.
        database: PostgreSQL, as the role that answers requests.
        owner: PostgreSQL, as the role that owns the database and migrates it; None: the same as `database`.
        cache: the Redis-protocol server.
        environment: development, staging, production, ...
        log_level: debug, info, warning or error.
        probe_interval: seconds between probes of a component.
        probe_deadline: seconds after which a probe has failed, even if it hangs.
        health_rise: passing probes in a row that make a failed component pass.
        health_fall: failing probes in a row that make a component fail.
        start_grace: seconds after the start for which a component that has never been usable counts as starting.
        database_wait: seconds to wait for the database at start.
        pool_size: connections to the database, in addition to those of the probe and the recorder.
        statement_timeout: seconds after which PostgreSQL cancels a query.
        threads: number of concurrent requests that memory cannot answer.
        grace: seconds of accepting requests after SIGTERM, so that load balancers notice; none in development.
        stop_within: maximum seconds from SIGTERM to the exit; below the stop timeout of the container.
        sample_interval: seconds between samples of each component for the history.
        incident_samples: samples in a row that open or close an incident; None: those of 30 s.
        retention_days: days for which incidents and hourly statistics are kept.
        retention_minutes_days: days for which statistics of single minutes are kept.
        cache_ttl: seconds for which an answer from the database is reused.
        health_targets: additional components: name and URL.
        details_token: grants access to addresses and error texts; empty: nobody has it.
        notes_token: grants the right to write notes on incidents; empty: nobody has it.
        allowed_hosts: host names a request may use, in addition to those of service/http/access.py.
        cors_origins: origins whose pages may read the answers.
        metrics_emf: whether to write metrics to the log in the format of CloudWatch.
        stack: name of the stack of this process.
        engine: runs the process: compose, embedded, ecs; empty if unknown.
        commit: source of the image.
        built_at: build time of the image as ISO 8601.
    """

    host: str
    port: int
    database: Address
    cache: Address
    owner: Address | None = None
    environment: str = "development"
    log_level: str = "info"
    probe_interval: float = 2.0
    probe_deadline: float = 1.0
    health_rise: int = 2
    health_fall: int = 2
    start_grace: float = 60.0
    database_wait: float = 60.0
    pool_size: int = 5
    statement_timeout: float = 5.0
    threads: int = 8
    grace: float = 2.0
    stop_within: float = 14.0
    sample_interval: float = 10.0
    incident_samples: int | None = None
    retention_days: int = 400
    retention_minutes_days: int = 14
    cache_ttl: float = 10.0
    health_targets: tuple[tuple[str, str], ...] = ()
    details_token: str = field(default="", repr=False)
    notes_token: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    metrics_emf: bool = False
    stack: str = ""
    engine: str = ""
    commit: str = "unknown"
    built_at: str = "unknown"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, *, cache: bool = True) -> Settings:
        """Read the settings.

        Args:
            environment: of this process, where none is named.
            cache: whether there has to be one; a migration needs none.

        Raises:
            SettingsError: variables are missing or invalid; the message names all of them.
        """
        reader = _Reader(os.environ if environment is None else environment)
        development = reader.get("ENVIRONMENT", str, cls.environment) == "development"
        defaults = {each.name: each.default for each in fields(cls)}
        schema = reader.get("DATABASE_SCHEMA", values.schema, SCHEMA)
        owner = _owner(reader)
        settings = cls(
            host=reader.get("HOST", str, "127.0.0.1"),
            port=reader.get("PORT", values.port, 4000),
            database=replace(_database(reader), schema=schema),
            cache=_cache(reader) if cache else NO_CACHE,
            owner=replace(owner, schema=schema) if owner else None,
            grace=reader.get("SHUTDOWN_GRACE", values.seconds_or_zero, 0.0 if development else cls.grace),
            incident_samples=reader.get("INCIDENT_SAMPLES", values.count, 0) or None,
            engine="ecs" if reader.get("ECS_CONTAINER_METADATA_URI_V4", str, "") else reader.get("ENGINE", str, ""),
            **{name: reader.get(variable, parse, defaults[name]) for name, (variable, parse) in VARIABLES.items()},
        )
        if reader.errors:
            raise SettingsError("the service cannot start:\n" + "\n".join(f"  {line}" for line in reader.errors))
        return settings


class _Reader:
    """Reads variables and collects all errors, so that one start shows all of them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.errors: list[str] = []

    def get(self, name: str, parse: Callable[[str], Any], default: Any = None) -> Any:
        value = self.environment.get(name, "")
        if not value:
            if default is None:
                self.errors.append(f"{name} is missing")
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.errors.append(f"{name} must be {error}")
            return default


def _database(reader: _Reader) -> Address:
    """Return the address of PostgreSQL, from DATABASE_URL or else from its parts."""
    password = reader.environment.get("DATABASE_PASSWORD") or reader.environment.get("DB_PASSWORD", "")
    given = {name: reader.environment[name] for name in DATABASE_PARTS if reader.environment.get(name)}
    if given and not reader.environment.get("DATABASE_URL"):
        parts = {part: reader.get(name, parse) or "" for name, (part, parse) in DATABASE_PARTS.items()}
        return Address(
            **parts,
            port=reader.get("DB_PORT", values.port, 5432),
            password=password,
            tls=reader.get("DB_SSLMODE", values.tls_mode, False),
            ca=reader.get("DB_SSLROOTCERT", values.file, ""),
        )
    return _postgres(reader, "DATABASE_URL", password)


def _owner(reader: _Reader) -> Address | None:
    """Return the address of the database for its owner, if that is another role than the one that serves."""
    if not reader.environment.get("MIGRATION_DATABASE_URL"):
        return None
    return _postgres(reader, "MIGRATION_DATABASE_URL", reader.environment.get("MIGRATION_DATABASE_PASSWORD", ""))


def _postgres(reader: _Reader, variable: str, password: str) -> Address:
    address, options = _address(reader, variable, {"postgresql": 5432, "postgres": 5432}, password)
    read = _Reader(options)
    tls, ca = read.get("sslmode", values.tls_mode, False), read.get("sslrootcert", values.file, "")
    _reject_unknown(reader, variable, read, "sslmode", "sslrootcert")
    return Address(**address, tls=tls, ca=ca)


def _cache(reader: _Reader) -> Address:
    password = reader.environment.get("REDIS_PASSWORD", "")
    address, options = _address(reader, "REDIS_URL", {"redis": 6379, "rediss": 6379}, password)
    read = _Reader(options)
    ca = read.get("ssl_ca_certs", values.file, "")
    _reject_unknown(reader, "REDIS_URL", read, "ssl_ca_certs")
    name = address["name"] or "0"
    if not (name.isascii() and name.isdigit()):
        reader.errors.append(f"REDIS_URL must end in the number of a database, but it ends in {name!r}")
    return Address(**address, tls=reader.environment.get("REDIS_URL", "").startswith("rediss:"), ca=ca)


def _reject_unknown(reader: _Reader, variable: str, options: _Reader, *names: str) -> None:
    """Report invalid options of a URL, and unknown ones: a misspelled option might be one that protects."""
    unknown = sorted(set(options.environment) - set(names))
    errors = [f"it may have {' and '.join(names)}, but it has {name!r}" for name in unknown]
    reader.errors += [f"{variable}: {text}" for text in [*options.errors, *errors]]


def _address(
    reader: _Reader, variable: str, schemes: Mapping[str, int], password: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parts of a URL and its options; a separate password needs no escaping."""
    parts = reader.get(variable, lambda value: values.url(value, schemes))
    if parts is None:
        return {"host": "", "port": 0, "user": "", "password": "", "name": ""}, {}
    return {
        "host": parts.hostname or "",
        "port": parts.port or schemes[parts.scheme],
        "user": unquote(parts.username or ""),
        "password": password or unquote(parts.password or ""),
        "name": unquote(parts.path.strip("/")),
    }, {name: texts[-1] for name, texts in parse_qs(parts.query, keep_blank_values=True).items()}
