"""What the service needs to know, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from service import values

DATABASE_PARTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "DB_HOST": ("host", values.host),
    "DB_NAME": ("name", str),
    "DB_USER": ("user", str),
}


class SettingsError(ValueError):
    """Variables that are missing or wrong; its text names every one of them."""


@dataclass(frozen=True)
class Address:
    """Where a dependency is, and how to log in.

    Args:
        host: name or address.
        port: TCP port.
        user: account; empty for none.
        password: never printed.
        name: database name or number.
        tls: whether to encrypt, and to verify the server's certificate.
        ca: path of a PEM bundle to verify it with; empty for the system's.
    """

    host: str
    port: int
    user: str
    password: str
    name: str
    tls: bool = False
    ca: str = ""

    def __repr__(self) -> str:
        return f"Address({self.host}:{self.port}/{self.name})"


@dataclass(frozen=True)
class Settings:
    """The settings of one process.

    Args:
        host: address to listen at.
        port: port to listen at.
        database: PostgreSQL, as the role that answers requests.
        owner: the same as the role that owns it, which migrates; None: that is `database` as well.
        cache: the Redis-protocol server.
        environment: development, staging, production, ...
        log_level: debug, info, warning or error.
        probe_interval: seconds between two probes of a component.
        probe_deadline: seconds after which a probe has failed, however it hangs.
        health_rise: probes in a row that must pass until a failed component passes again.
        health_fall: probes in a row that must fail until a component fails.
        start_grace: seconds after the start for which a component that has not been usable yet counts as starting.
        database_wait: seconds to wait for the database at start.
        pool_size: connections to the database, the probe's and the sampler's not counted.
        statement_timeout: seconds after which PostgreSQL ends a query.
        threads: requests at once that are not answered from memory.
        grace: seconds between SIGTERM and the end of accepting, so that load balancers notice; none in development.
        stop_within: seconds between SIGTERM and the exit, at most; below the container's stop timeout.
        sample_interval: seconds between two samples of each component for the history.
        incident_samples: samples in a row that open an incident, and that close it; None: as many as take 30 s.
        retention_days: days for which incidents and hourly figures are kept.
        retention_minutes_days: days for which figures of single minutes are kept.
        cache_ttl: seconds for which an answer from the database may be given again.
        health_targets: further components: name and URL.
        details_token: who sends it reads addresses and errors; empty: nobody does.
        notes_token: who sends it writes notes on incidents; empty: nobody does.
        allowed_hosts: names a request may be for, beside those of service/http/hosts.py.
        cors_origins: origins whose pages may read the answers.
        metrics_emf: whether metrics are also written to the log in CloudWatch's format.
        stack: the name of the stack this process belongs to.
        engine: what runs it: compose, embedded, ecs; empty where nobody says.
        commit: what the image was built from.
        built_at: when, as ISO 8601.
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
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings.

        Raises:
            SettingsError: naming every variable that is missing or wrong.
        """
        reader = _Reader(os.environ if environment is None else environment)
        development = reader.get("ENVIRONMENT", str, "development") == "development"
        settings = cls(
            host=reader.get("HOST", str, "127.0.0.1"),
            port=reader.get("PORT", values.port, 4000),
            database=_database(reader),
            cache=_cache(reader),
            owner=_owner(reader),
            environment=reader.get("ENVIRONMENT", str, "development"),
            log_level=reader.get("LOG_LEVEL", values.level, "info"),
            probe_interval=reader.get("PROBE_INTERVAL", values.seconds, 2.0),
            probe_deadline=reader.get("PROBE_DEADLINE", values.seconds, 1.0),
            health_rise=reader.get("HEALTH_RISE", values.count, 2),
            health_fall=reader.get("HEALTH_FALL", values.count, 2),
            start_grace=reader.get("START_GRACE", values.seconds_or_none, 60.0),
            database_wait=reader.get("DATABASE_WAIT", values.seconds, 60.0),
            pool_size=reader.get("POOL_SIZE", values.count, 5),
            statement_timeout=reader.get("STATEMENT_TIMEOUT", values.seconds, 5.0),
            threads=reader.get("THREADS", values.count, 8),
            grace=reader.get("SHUTDOWN_GRACE", values.seconds_or_none, 0.0 if development else 2.0),
            stop_within=reader.get("SHUTDOWN_WITHIN", values.seconds, 14.0),
            sample_interval=reader.get("SAMPLE_INTERVAL", values.half_a_minute, 10.0),
            incident_samples=reader.get("INCIDENT_SAMPLES", values.count, 0) or None,
            retention_days=reader.get("RETENTION_DAYS", values.count, 400),
            retention_minutes_days=reader.get("RETENTION_MINUTES_DAYS", values.count, 14),
            cache_ttl=reader.get("CACHE_TTL", values.seconds, 10.0),
            health_targets=reader.get("HEALTH_TARGETS", values.targets, ()),
            details_token=reader.get("HEALTH_DETAILS_TOKEN", str, ""),
            notes_token=reader.get("NOTES_TOKEN", str, ""),
            allowed_hosts=reader.get("ALLOWED_HOSTS", values.hosts, ()),
            cors_origins=reader.get("CORS_ORIGINS", values.origins, ()),
            metrics_emf=reader.get("METRICS_EMF", values.switch, False),
            stack=reader.get("STACK", str, ""),
            engine="ecs" if reader.get("ECS_CONTAINER_METADATA_URI_V4", str, "") else reader.get("ENGINE", str, ""),
            commit=reader.get("COMMIT", str, "unknown"),
            built_at=reader.get("BUILT_AT", str, "unknown"),
        )
        if reader.wrong:
            raise SettingsError("the service cannot start:\n" + "\n".join(f"  {line}" for line in reader.wrong))
        return settings


class _Reader:
    """Reads variables and collects what is wrong, so that one start shows all of it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.wrong: list[str] = []

    def get(self, name: str, parse: Callable[[str], Any], default: Any = None) -> Any:
        value = self.environment.get(name, "")
        if not value:
            if default is None:
                self.wrong.append(f"{name} is missing")
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.wrong.append(f"{name} must be {error}")
            return default


def _database(reader: _Reader) -> Address:
    """Return PostgreSQL's address, of DATABASE_URL or, where that is not given, of its parts."""
    password = reader.environment.get("DATABASE_PASSWORD") or reader.environment.get("DB_PASSWORD", "")
    given = {name: reader.environment[name] for name in DATABASE_PARTS if reader.environment.get(name)}
    if given and not reader.environment.get("DATABASE_URL"):
        found = {part: reader.get(name, parse) or "" for name, (part, parse) in DATABASE_PARTS.items()}
        return Address(
            **found,
            port=reader.get("DB_PORT", values.port, 5432),
            password=password,
            tls=reader.get("DB_SSLMODE", values.tls_mode, False),
            ca=reader.get("DB_SSLROOTCERT", values.file, ""),
        )
    return _postgres(reader, "DATABASE_URL", password)


def _owner(reader: _Reader) -> Address | None:
    """Return the database as its owner connects to it, where that is another role than the one that serves."""
    if not reader.environment.get("MIGRATION_DATABASE_URL"):
        return None
    return _postgres(reader, "MIGRATION_DATABASE_URL", reader.environment.get("MIGRATION_DATABASE_PASSWORD", ""))


def _postgres(reader: _Reader, variable: str, password: str) -> Address:
    address, options = _address(reader, variable, {"postgresql": 5432, "postgres": 5432}, password)
    read = _Reader(options)
    tls, ca = read.get("sslmode", values.tls_mode, False), read.get("sslrootcert", values.file, "")
    _no_others(reader, variable, read, "sslmode", "sslrootcert")
    return Address(**address, tls=tls, ca=ca)


def _cache(reader: _Reader) -> Address:
    password = reader.environment.get("REDIS_PASSWORD", "")
    address, options = _address(reader, "REDIS_URL", {"redis": 6379, "rediss": 6379}, password)
    read = _Reader(options)
    ca = read.get("ssl_ca_certs", values.file, "")
    _no_others(reader, "REDIS_URL", read, "ssl_ca_certs")
    name = address["name"] or "0"
    if not (name.isascii() and name.isdigit()):
        reader.wrong.append(f"REDIS_URL must end in the number of a database, but it ends in {name!r}")
    return Address(**address, tls=reader.environment.get("REDIS_URL", "").startswith("rediss:"), ca=ca)


def _no_others(reader: _Reader, variable: str, options: _Reader, *names: str) -> None:
    """Have the reader say what is wrong with a URL's options: an unknown one may be the one that was to protect."""
    unknown = sorted(set(options.environment) - set(names))
    wrong = [f"it may have {' and '.join(names)}, but it has {name!r}" for name in unknown]
    reader.wrong += [f"{variable}: {text}" for text in [*options.wrong, *wrong]]


def _address(
    reader: _Reader, variable: str, schemes: Mapping[str, int], password: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the parts of a URL, and its options; a password of its own needs no escaping, whatever it has."""
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
