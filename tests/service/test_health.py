"""The service's answers while its dependencies come and go: a real process, real servers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from service import migrate
from service.database import connect
from service.settings import Address, Settings
from tests.checkout import eventually, free_ports
from tests.service.conftest import Server
from tests.service.process import Service, ready

Servers = dict[str, tuple[Server, Address]]


def test_everything_passes_when_everything_is_there(service: Service) -> None:
    code, body, headers = service.ask("/health/all")
    assert code == 200
    assert headers["Content-Type"] == "application/health+json"
    assert headers["Cache-Control"] == "no-store"
    assert body["status"] == "pass"
    assert set(body["checks"]) == {"db", "cache"}
    check = body["checks"]["db"][0]
    assert check["componentType"] == "datastore"
    assert 0 <= check["age"] < 5
    assert check["observedUnit"] == "ms"


def test_without_the_cache_there_is_a_warning_and_with_it_again_none(service: Service, servers: Servers) -> None:
    servers["redis"][0].stop()
    try:
        eventually(lambda: service.status("/health/cache") == 503, "the cache fails")
        refused = "refused"
        eventually(lambda: service.ask("/health/cache")[1]["checks"]["cache"][0]["output"] == refused, refused)
        code, body, _ = service.ask("/health/all")
        assert (code, body["status"]) == (200, "warn")
        assert service.status("/health") == 200
        for window in ("24h", "7d", "90d"):  # the past is read from the database then
            assert service.status(f"/api/history?component=db&window={window}") == 200
    finally:
        servers["redis"][0].start()
    eventually(lambda: service.ask("/health/all")[1]["status"] == "pass", "the cache passes again", 5)


def test_it_starts_without_the_cache(settings: Settings, servers: Servers) -> None:
    servers["redis"][0].stop()
    try:
        service = Service(settings)
        eventually(lambda: service.status("/health/ready") == 200, "the service is ready")
        service.end()
    finally:
        servers["redis"][0].start()


def test_without_the_database_it_fails_and_the_process_is_still_alive(service: Service, servers: Servers) -> None:
    servers["postgres"][0].stop()
    try:
        eventually(lambda: service.status("/health/db") == 503, "the database fails")
        code, body, headers = service.ask("/health/all")
        assert (code, body["status"]) == (503, "fail")
        assert headers["Retry-After"] == "5"
        assert service.status("/health") == 200
    finally:
        servers["postgres"][0].start()
    eventually(lambda: service.ask("/health/all")[1]["status"] == "pass", "the database passes again", 10)


def test_a_paused_cache_is_seen_within_its_deadline_and_costs_health_nothing(
    service: Service, servers: Servers
) -> None:
    process = servers["redis"][0].process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: service.status("/health/cache") == 503, "the cache fails", 5)
        assert service.ask("/health/cache")[1]["checks"]["cache"][0]["output"] == "timeout"
        began = time.monotonic()
        assert service.status("/health") == 200
        assert time.monotonic() - began < 1
    finally:
        process.send_signal(signal.SIGCONT)
    eventually(lambda: service.status("/health/cache") == 200, "the cache passes again", 5)


def test_version_says_what_runs(service: Service) -> None:
    body = service.ask("/version")[1]
    assert body["stack"] == "shop"
    assert body["schema_version"] == migrate.read()[-1].number
    assert set(body) == {"version", "commit", "built_at", "schema_version", "environment", "stack"}


@pytest.mark.parametrize(
    ("path", "method", "code"), [("/nothing", "GET", 404), ("/health/nothing", "GET", 404), ("/health", "POST", 405)]
)
def test_an_error_is_a_problem_document(service: Service, path: str, method: str, code: int) -> None:
    status, body, headers = service.ask(path, method)
    assert status == code
    assert headers["Content-Type"] == "application/problem+json"
    assert body["status"] == code
    assert body["instance"] == path


def test_sigterm_ends_a_service_with_0_its_samples_written_and_every_line_of_its_log_an_object(
    settings: Settings,
) -> None:
    service = Service(settings, STACK=settings.database.name, SAMPLE_INTERVAL="30")  # a sample at the start, no more
    try:
        service.await_status("/health/ready")
        lines = [json.loads(line) for line in service.end().splitlines()]
        assert service.process.returncode == 0
        connection = connect(settings.database, 10)
        assert connection.run("SELECT count(*) FROM history_sample WHERE component = 'db'") == [[1]]
        connection.close()
    finally:
        service.kill()
    assert next(line["event"] for line in lines) == "listening"
    assert "ready" in [line["event"] for line in lines]
    assert lines[-1]["event"] == "stopped"
    assert all({"time", "level", "event"} <= set(line) for line in lines)


def test_a_host_at_which_it_cannot_listen_is_told_in_one_line(settings: Settings) -> None:
    service = Service(settings, HOST="no.such.host.invalid")
    out, _ = service.process.communicate(timeout=20)
    assert service.process.returncode == 3
    said = [json.loads(line) for line in out.splitlines()]
    assert [(line["event"], line["host"]) for line in said] == [("cannot listen", "no.such.host.invalid")]


def test_the_version_tells_the_schema_of_the_database_which_a_newer_release_may_have_left(settings: Settings) -> None:
    newest = migrate.read()[-1].number
    with ready(settings) as service:
        assert service.ask("/version")[1]["schema_version"] == newest
    connection = connect(settings.database, 10)
    connection.run(
        "INSERT INTO schema_migration (number, name, sha256, applied_at, milliseconds)"
        " VALUES (900, '900_newer.sql', repeat('0', 64), now(), 1)"
    )
    connection.close()
    with ready(settings) as service:
        assert service.ask("/version")[1]["schema_version"] == 900


def test_missing_and_wrong_settings_are_all_named_before_the_start() -> None:
    words = [sys.executable, "-m", "service", "serve"]
    environment = {"DATABASE_URL": "mysql://x/y", "PORT": "x", "LOG_LEVEL": "loud", "HEALTH_TARGETS": "web"}
    said = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode == 2
    assert said.stderr.splitlines() == [
        "the service cannot start:",
        "  PORT must be a port, 1 to 65535, but it is 'x'",
        "  DATABASE_URL must be a URL such as postgresql://host:port/name",
        "  REDIS_URL is missing",
        "  LOG_LEVEL must be one of debug, info, warning, error, but it is 'loud'",
        "  HEALTH_TARGETS must be a list of name=http://host/path, but it has 'web'",
    ]


def test_a_component_that_starts_later_has_no_outage_and_one_that_is_down_at_a_restart_has(settings: Settings) -> None:
    words = [sys.executable, "-m", "http.server", str(port := free_ports()["WEB_PORT"]), "--bind", "127.0.0.1"]
    often = {"SAMPLE_INTERVAL": "0.1", "INCIDENT_SAMPLES": "2", "CACHE_TTL": "0.1"}
    more = {"HEALTH_TARGETS": f"late=http://127.0.0.1:{port}/", **often}
    service = Service(settings, **more)
    path = "/api/history?component=late"
    try:
        service.await_status("/health/ready")
        assert service.ask("/health/late")[1]["status"] == "unknown"
        time.sleep(0.5)  # several samples, each of them refused
        late = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/usr/lib")
        try:
            eventually(lambda: service.status("/health/late") == 200, "it is healthy")
            eventually(lambda: service.ask(path)[1]["uptime"]["samples"] > 3, "it has samples", 30)
            assert service.ask(path)[1]["uptime"]["failed"] == 0
            assert service.ask("/api/incidents")[1]["incidents"] == []
        finally:
            late.kill()
            late.wait()
        eventually(lambda: service.ask("/health/late")[1]["status"] == "fail", "it fails")
        eventually(lambda: service.ask("/api/incidents")[1]["incidents"], "there is an incident", 30)
        service.end()
        service = Service(settings, **more)
        eventually(lambda: service.status("/health/late") == 503, "it was looked at")
        eventually(lambda: service.ask("/health/late")[1]["status"] == "fail", "the outage goes on", 5)
    finally:
        service.kill()
