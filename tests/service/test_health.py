"""Health of a real process while its dependencies stop and start."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

from service.database import connect
from service.migration import migrate
from service.settings import Address, Settings
from tests.checkout import eventually, free_ports
from tests.service.conftest import Server
from tests.service.process import Service, migrated, ready

Servers = dict[str, tuple[Server, Address]]


def test_health_passes_with_all_dependencies(service: Service) -> None:
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


def test_health_warns_without_cache_and_passes_with_it(service: Service, servers: Servers) -> None:
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


def test_service_starts_without_cache(settings: Settings, servers: Servers) -> None:
    migrated(settings)
    servers["redis"][0].stop()
    try:
        service = Service(settings)
        eventually(lambda: service.status("/health/ready") == 200, "the service is ready")
        service.end()
    finally:
        servers["redis"][0].start()


def test_health_fails_without_database_while_process_lives(service: Service, servers: Servers) -> None:
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


def test_paused_cache_is_noticed_without_slowing_health(service: Service, servers: Servers) -> None:
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


def test_version_reports_version_and_commit(service: Service) -> None:
    body = service.ask("/version")[1]
    assert body["stack"] == "shop"
    assert body["schema_version"] == migrate.read()[-1].number
    assert set(body) == {"version", "commit", "built_at", "schema_version", "environment", "stack"}


def test_sigterm_exits_0_with_samples_written_and_json_log(
    settings: Settings,
) -> None:
    migrated(settings)
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


def test_unusable_host_is_reported_in_one_line(settings: Settings) -> None:
    service = Service(settings, HOST="no.such.host.invalid")
    out, _ = service.process.communicate(timeout=20)
    assert service.process.returncode == 3
    said = [json.loads(line) for line in out.splitlines()]
    assert [(line["event"], line["host"]) for line in said] == [("cannot listen", "no.such.host.invalid")]


def test_version_reports_schema_of_newer_release(settings: Settings) -> None:
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


def test_start_names_all_missing_and_invalid_settings() -> None:
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


def test_late_component_is_no_outage_but_one_down_at_restart_is(settings: Settings) -> None:
    migrated(settings)
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
        eventually(lambda: service.status("/health/late") == 503, "it was checked")
        eventually(lambda: service.ask("/health/late")[1]["status"] == "fail", "the outage goes on", 5)
    finally:
        service.kill()
