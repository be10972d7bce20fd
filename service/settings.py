"""What the service needs to know, read once from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TLS_MODES = {"disable": False, "require": True, "verify-ca": True, "verify-full": True}
"""libpq's words for TLS, and whether we use it. Where we do, we verify: a secret told to anybody is none."""
OUR_COMPONENTS = frozenset({"db", "cache", "all", "ready"})
"""Names below /health/ that no other component may have."""
DATABASE_PARTS = {"DB_HOST": "host", "DB_NAME": "name", "DB_USER": "user"}


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
        database: PostgreSQL.
        cache: the Redis-protocol server.
        environment: development, staging, production, ...
        log_level: debug, info, warning or error.
        probe_interval: seconds between two probes of a component.
        probe_deadline: seconds after which a probe has failed, however it hangs.
        health_rise: probes in a row that must pass until a failed component passes again.
        health_fall: probes in a row that must fail until a component fails.
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
    environment: str = "development"
    log_level: str = "info"
    probe_interval: float = 5.0
    probe_deadline: float = 1.0
    health_rise: int = 2
    health_fall: int = 2
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
            port=reader.get("PORT", _port, 4000),
            database=_database(reader),
            cache=_cache(reader),
            environment=reader.get("ENVIRONMENT", str, "development"),
            log_level=reader.get("LOG_LEVEL", _level, "info"),
            probe_interval=reader.get("PROBE_INTERVAL", _seconds, 5.0),
            probe_deadline=reader.get("PROBE_DEADLINE", _seconds, 1.0),
            health_rise=reader.get("HEALTH_RISE", _count, 2),
            health_fall=reader.get("HEALTH_FALL", _count, 2),
            database_wait=reader.get("DATABASE_WAIT", _seconds, 60.0),
            pool_size=reader.get("POOL_SIZE", _count, 5),
            statement_timeout=reader.get("STATEMENT_TIMEOUT", _seconds, 5.0),
            threads=reader.get("THREADS", _count, 8),
            grace=reader.get("SHUTDOWN_GRACE", _seconds_or_none, 0.0 if development else 2.0),
            stop_within=reader.get("SHUTDOWN_WITHIN", _seconds, 14.0),
            sample_interval=reader.get("SAMPLE_INTERVAL", _seconds, 10.0),
            incident_samples=reader.get("INCIDENT_SAMPLES", _count, 0) or None,
            retention_days=reader.get("RETENTION_DAYS", _count, 400),
            retention_minutes_days=reader.get("RETENTION_MINUTES_DAYS", _count, 14),
            cache_ttl=reader.get("CACHE_TTL", _seconds, 10.0),
            health_targets=reader.get("HEALTH_TARGETS", _targets, ()),
            details_token=reader.get("HEALTH_DETAILS_TOKEN", str, ""),
            cors_origins=reader.get("CORS_ORIGINS", _origins, ()),
            metrics_emf=reader.get("METRICS_EMF", _switch, False),
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
        found = {DATABASE_PARTS[name]: reader.get(name, str) or "" for name in DATABASE_PARTS}
        return Address(
            **found,
            port=reader.get("DB_PORT", _port, 5432),
            password=password,
            tls=reader.get("DB_SSLMODE", _tls_mode, False),
            ca=reader.get("DB_SSLROOTCERT", _file, ""),
        )
    address, options = _address(reader, "DATABASE_URL", {"postgresql": 5432, "postgres": 5432}, password)
    values = _Reader(options)
    tls, ca = values.get("sslmode", _tls_mode, False), values.get("sslrootcert", _file, "")
    _no_others(reader, "DATABASE_URL", values, "sslmode", "sslrootcert")
    return Address(**address, tls=tls, ca=ca)


def _cache(reader: _Reader) -> Address:
    password = reader.environment.get("REDIS_PASSWORD", "")
    address, options = _address(reader, "REDIS_URL", {"redis": 6379, "rediss": 6379}, password)
    values = _Reader(options)
    ca = values.get("ssl_ca_certs", _file, "")
    _no_others(reader, "REDIS_URL", values, "ssl_ca_certs")
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
    parts = reader.get(variable, lambda value: _url(value, schemes))
    if parts is None:
        return {"host": "", "port": 0, "user": "", "password": "", "name": ""}, {}
    return {
        "host": parts.hostname or "",
        "port": parts.port or schemes[parts.scheme],
        "user": unquote(parts.username or ""),
        "password": password or unquote(parts.password or ""),
        "name": unquote(parts.path.strip("/")),
    }, {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}


def _url(value: str, schemes: Mapping[str, int]) -> Any:
    wanted = f"a URL such as {next(iter(schemes))}://host:port/name"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(wanted) from None
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise ValueError(wanted)
    return parts


def _port(value: str) -> int:
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= 65535:  # noqa: PLR2004 - the TCP range
        raise ValueError(f"a port, 1 to 65535, but it is {value!r}")
    return int(value)


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value) <= 10_000:  # noqa: PLR2004 - more is a slip
        raise ValueError(f"a whole number, 1 to 10000, but it is {value!r}")
    return int(value)


def _seconds_or_none(value: str) -> float:
    return 0.0 if value == "0" else _seconds(value)


def _seconds(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:  # noqa: PLR2004 - an hour
        raise ValueError(f"seconds, more than 0 and at most 3600, but it is {value!r}")
    return number


def _level(value: str) -> str:
    if value not in {"debug", "info", "warning", "error"}:
        raise ValueError(f"one of debug, info, warning, error, but it is {value!r}")
    return value


def _switch(value: str) -> bool:
    if value not in {"0", "1"}:
        raise ValueError(f"0 or 1, but it is {value!r}")
    return value == "1"


def _tls_mode(value: str) -> bool:
    if value not in TLS_MODES:
        raise ValueError(f"one of {', '.join(TLS_MODES)}, but it is {value!r}")
    return TLS_MODES[value]


def _file(value: str) -> str:
    if not Path(value).is_file():
        raise ValueError(f"the path of a file, but it is {value!r}")
    return value


def _origins(value: str) -> tuple[str, ...]:
    found = tuple(entry.strip() for entry in value.split(","))
    for entry in found:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", entry):
            raise ValueError(f"a list of origins such as https://status.example.com, but it has {entry!r}")
    return found


def _targets(value: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for entry in value.split(","):
        name, _, url = entry.strip().partition("=")
        try:
            parts = urlsplit(url)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
            raise ValueError(f"a list of name=http://host/path, but it has {entry!r}")
        if name in OUR_COMPONENTS:
            name += "-service"  # nobody typed the name: it is that of an entry in docker-compose.yml
        if name in found:
            raise ValueError(f"a list of different names, but it has {name!r} twice")
        found[name] = url
    return tuple(found.items())
