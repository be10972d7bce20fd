"""Settings from the environment; all errors are reported before the start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings import SCHEMA, Address, Settings, SettingsError

GOOD = {"DATABASE_URL": "postgresql://me@db/app", "REDIS_URL": "redis://cache"}


def read(**more: str) -> Settings:
    return Settings.from_environment({**GOOD, **more})


def wrong(**more: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({**GOOD, **more})
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://me:pw@db:6000/app", Address("db", 6000, "me", "pw", "app")),
        ("postgres://me@db/app", Address("db", 5432, "me", "", "app")),
        ("postgresql://m%40e:p%2Fw@db/a%20b", Address("db", 5432, "m@e", "p/w", "a b")),
        ("postgresql://me@[::1]/app", Address("::1", 5432, "me", "", "app")),
        ("postgresql://me@db/app?sslmode=disable", Address("db", 5432, "me", "", "app")),
        ("postgresql://me@db/app?sslmode=verify-full", Address("db", 5432, "me", "", "app", tls=True)),
        ("postgresql://me@db/app?sslmode=require", Address("db", 5432, "me", "", "app", tls=True)),
    ],
)
def test_database_url_is_parsed_completely(url: str, address: Address) -> None:
    assert read(DATABASE_URL=url).database == replace(address, schema=SCHEMA)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", Address("cache", 6379, "", "", "")),
        ("redis://:pw@cache:7000/3", Address("cache", 7000, "", "pw", "3")),
        ("rediss://me:pw@cache", Address("cache", 6379, "me", "pw", "", tls=True)),
    ],
)
def test_redis_url_is_parsed_completely(url: str, address: Address) -> None:
    assert read(REDIS_URL=url).cache == address


def test_separate_passwords_need_no_escaping() -> None:
    settings = read(DATABASE_PASSWORD="p@/:%41", REDIS_PASSWORD="r@/:%41")
    assert (settings.database.password, settings.cache.password) == ("p@/:%41", "r@/:%41")


def test_database_can_be_given_in_parts(tmp_path: Path) -> None:
    bundle = tmp_path / "rds.pem"
    bundle.write_text("x")
    parts = {
        "DB_HOST": "rds.example.com",
        "DB_PORT": "6000",
        "DB_NAME": "app",
        "DB_USER": "me",
        "DB_PASSWORD": "pw",
        "DB_SSLMODE": "verify-full",
        "DB_SSLROOTCERT": str(bundle),
    }
    settings = Settings.from_environment({"REDIS_URL": "redis://cache", **parts})
    assert settings.database == Address(
        "rds.example.com", 6000, "me", "pw", "app", tls=True, ca=str(bundle), schema=SCHEMA
    )
    assert settings == Settings.from_environment({"REDIS_URL": "redis://cache", **parts, "DATABASE_URL": ""})


def test_missing_database_part_is_named() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"REDIS_URL": "redis://cache", "DB_HOST": "a..b", "DB_PORT": "0"})
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "DB_HOST must be the name of a host, but it is 'a..b'",
        "DB_NAME is missing",
        "DB_USER is missing",
        "DB_PORT must be a port, 1 to 65535, but it is '0'",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DATABASE_URL", "mysql://x/y", "a URL such as postgresql://host:port/name"),
        ("DATABASE_URL", "postgresql:///y", "a URL such as postgresql://host:port/name"),
        ("DATABASE_URL", "postgresql://h:99999/y", "a URL such as postgresql://host:port/name"),
        ("DATABASE_URL", "postgresql://h:0/y", "a URL such as postgresql://host:port/name"),
        ("DATABASE_URL", "postgresql://[x/y", "a URL such as postgresql://host:port/name"),
        ("REDIS_URL", "http://x", "a URL such as redis://host:port/name"),
        ("PORT", "x", "a port, 1 to 65535, but it is 'x'"),
        ("PORT", "65536", "a port, 1 to 65535, but it is '65536'"),
        ("PORT", "٣", "a port, 1 to 65535, but it is '٣'"),
        ("DATABASE_SCHEMA", "pg_mine", "a schema such as stackhand_status, but it is 'pg_mine'"),
        ("DATABASE_SCHEMA", "a, public", "a schema such as stackhand_status, but it is 'a, public'"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error, but it is 'loud'"),
        ("PROBE_INTERVAL", "0", "seconds, more than 0 and at most 3600, but it is '0'"),
        ("PROBE_DEADLINE", "nan", "seconds, more than 0 and at most 3600, but it is 'nan'"),
        ("SHUTDOWN_GRACE", "-1", "seconds, more than 0 and at most 3600, but it is '-1'"),
        ("HEALTH_FALL", "0", "a whole number, 1 to 10000, but it is '0'"),
        ("POOL_SIZE", "1.5", "a whole number, 1 to 10000, but it is '1.5'"),
        ("DATABASE_URL", "postgresql://a..b/x", "a URL such as postgresql://host:port/name"),
        ("REDIS_URL", f"redis://{'a' * 64}/0", "a URL such as redis://host:port/name"),
        ("METRICS_EMF", "yes", "0 or 1, but it is 'yes'"),
        ("HEALTH_TARGETS", "web", "a list of name=http://host/path, but it has 'web'"),
        ("HEALTH_TARGETS", "web=ftp://x", "a list of name=http://host/path, but it has 'web=ftp://x'"),
        ("HEALTH_TARGETS", "web=http://x:0", "a list of name=http://host/path, but it has 'web=http://x:0'"),
        ("HEALTH_TARGETS", "a/b=http://x", "a list of name=http://host/path, but it has 'a/b=http://x'"),
        ("HEALTH_TARGETS", "a=http://x,a=http://y", "a list of different names, but it has 'a' twice"),
        ("ALLOWED_HOSTS", "x:1", "a list of hosts such as status.example.com or .example.com, but it has 'x:1'"),
        ("CORS_ORIGINS", "*", "a list of origins such as https://status.example.com, but it has '*'"),
        ("CORS_ORIGINS", "https://a/", "a list of origins such as https://status.example.com, but it has 'https://a/'"),
    ],
)
def test_invalid_setting_reports_expected_form(variable: str, value: str, said: str) -> None:
    assert wrong(**{variable: value}) == [f"{variable} must be {said}"]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "DATABASE_URL",
            "postgresql://h/n?sslmode=on",
            "DATABASE_URL: sslmode must be one of disable, require, verify-ca, verify-full, but it is 'on'",
        ),
        (
            "DATABASE_URL",
            "postgresql://h/n?ssl_mode=require",
            "DATABASE_URL: it may have sslmode and sslrootcert, but it has 'ssl_mode'",
        ),
        (
            "DATABASE_URL",
            "postgresql://h/n?sslrootcert=/no/such",
            "DATABASE_URL: sslrootcert must be the path of a file, but it is '/no/such'",
        ),
        ("REDIS_URL", "redis://h/one", "REDIS_URL must end in the number of a database, but it ends in 'one'"),
        ("REDIS_URL", "rediss://h?tls=0", "REDIS_URL: it may have ssl_ca_certs, but it has 'tls'"),
    ],
)
def test_unknown_url_option_is_refused(variable: str, value: str, said: str) -> None:
    assert wrong(**{variable: value}) == [said]


def test_targets_with_reserved_names_are_renamed() -> None:
    assert read(HEALTH_TARGETS="db=http://x,web=http://y:1/z").health_targets == (
        ("db-service", "http://x"),
        ("web", "http://y:1/z"),
    )


def test_development_has_no_shutdown_grace() -> None:
    assert read().grace == 0.0
    assert read(ENVIRONMENT="production").grace > 0
    assert read(ENVIRONMENT="production", SHUTDOWN_GRACE="0").grace == 0.0


def test_settings_print_no_secret() -> None:
    settings = read(
        DATABASE_PASSWORD="hidden1", REDIS_PASSWORD="hidden2", HEALTH_DETAILS_TOKEN="hidden3", NOTES_TOKEN="hidden4"
    )
    assert "hidden" not in repr(settings)
    assert "hidden" not in str(settings.database)


NAMES = [
    "DATABASE_URL",
    "REDIS_URL",
    "PORT",
    "HEALTH_TARGETS",
    "CORS_ORIGINS",
    "ALLOWED_HOSTS",
    "PROBE_INTERVAL",
    "POOL_SIZE",
    "DB_HOST",
]
URLS = st.builds(
    lambda *parts: "".join(parts), st.sampled_from(["redis://", "postgresql://", "http://", ""]), st.text()
)


@given(st.dictionaries(st.sampled_from(NAMES), st.text() | URLS, max_size=8))
def test_any_environment_gives_settings_or_errors(environment: dict[str, str]) -> None:
    try:
        settings = Settings.from_environment(environment)
    except SettingsError as error:
        assert len(str(error).splitlines()) > 1  # noqa: PT017 - what else it raises fails the test
    else:
        assert settings.database.host
        assert 1 <= settings.port <= 65535
        assert 0 < settings.probe_interval <= 3600


@given(st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True), min_size=1, max_size=6, unique=True))
def test_every_compose_name_is_a_valid_target(names: list[str]) -> None:
    found = read(HEALTH_TARGETS=",".join(f"{name}=http://{name}:80/x" for name in names if name != "-"))
    assert [url for _, url in found.health_targets] == [f"http://{name}:80/x" for name in names]
