"""The whole service while its servers are stopped, paused, restarted or busy, and afterwards."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from service.database import connect
from service.migration import migrate
from service.settings import Address, Settings
from tests.checkout import eventually
from tests.service.conftest import Server
from tests.service.process import Service, migrated, ready, together

SOON = 2.0
"""Seconds for an answer from memory, to forty callers on a loaded machine."""
Servers = dict[str, tuple[Server, Address]]
QUICK = {"SAMPLE_INTERVAL": "0.2", "CACHE_TTL": "0.2", "INCIDENT_SAMPLES": "5", "THREADS": "32"}


@pytest.fixture
def quick(settings: Settings) -> Iterator[Service]:
    """The service with a history that is written several times a second."""
    with ready(settings, STACK=settings.database.name, **QUICK) as found:
        yield found


@contextmanager
def paused(*servers: Server) -> Iterator[None]:
    """Servers that accept and never answer, as behind a network that swallows everything."""
    processes = [psutil.Process(server.process.pid) for server in servers if server.process]
    every = [each for process in processes for each in (process, *process.children(recursive=True))]
    for each in every:
        each.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for each in every:
            if each.is_running():
                each.send_signal(signal.SIGCONT)


@contextmanager
def locked(settings: Settings, table: str) -> Iterator[None]:
    """A table that nobody can read."""
    connection = connect(settings.database, 20)
    connection.run("BEGIN")
    connection.run(f"LOCK TABLE {table}")
    try:
        yield
    finally:
        connection.run("ROLLBACK")
        connection.close()


def component(service: Service, name: str) -> dict[str, Any]:
    return service.ask(f"/health/{name}")[1]["checks"][name][0]


def test_forty_callers_are_answered_while_everything_hangs(quick: Service, servers: Servers) -> None:
    past = "/api/incidents?before=1-1"
    assert {status for status, _ in together(20, quick, past)} == {200}  # the pool has connections by now
    threads = len(psutil.Process(quick.process.pid).threads())
    with paused(servers["redis"][0], servers["postgres"][0]):
        eventually(lambda: quick.status("/health/db") == quick.status("/health/cache") == 503, "both fail")
        assert component(quick, "db")["output"] == component(quick, "cache")["output"] == "timeout"
        for path, expected in (("/health/cache", 503), ("/health", 200)):
            answers = together(40, quick, path)
            assert {status for status, _ in answers} == {expected}
            assert max(seconds for _, seconds in answers) < SOON
        # nobody waits for a database that is known to be down
        answers = together(20, quick, past)
        assert {status for status, _ in answers} == {503}
        assert max(seconds for _, seconds in answers) < SOON
        assert quick.request("/api/status").json["history"]["stale"] is True
        assert len(psutil.Process(quick.process.pid).threads()) <= threads + 3  # the deadlines of looks come and go
    eventually(lambda: quick.ask("/health/all")[1]["status"] == "pass", "all components pass again", 15)


def test_status_does_not_wait_for_undetected_hung_database(settings: Settings, servers: Servers) -> None:
    with ready(settings, PROBE_INTERVAL="60", CACHE_TTL="0.1") as service, paused(servers["postgres"][0]):
        time.sleep(0.5)  # the last answer is too old by now
        for _ in range(2):
            answers = together(5, service, "/api/status")
            assert {status for status, _ in answers} == {200}
            assert max(seconds for _, seconds in answers) < 1.0 + SOON
        assert service.request("/api/status").json["history"]["stale"] is True
        assert service.status("/health/db") == 200  # nobody knows


def test_service_waits_for_database_at_start(
    settings: Settings, servers: Servers, request: pytest.FixtureRequest
) -> None:
    migrated(settings)
    servers["postgres"][0].stop()
    try:
        service = Service(settings, DATABASE_WAIT="0.2")
        request.addfinalizer(service.kill)
        eventually(lambda: service.status("/health/db") == 503, "it says what is wrong")
        time.sleep(3)  # longer than its timeout
        assert service.ask("/health/ready")[1]["phase"] == "migrating"
        assert service.request("/api/status").status == 200
    finally:
        servers["postgres"][0].start()
    service.await_status("/health/ready")


def test_history_is_stale_while_database_is_down(quick: Service, servers: Servers) -> None:
    path = "/api/history?component=db"
    assert quick.request(path).json["stale"] is False
    servers["postgres"][0].stop()
    try:
        eventually(lambda: quick.status("/health/db") == 503, "the database fails")
        eventually(lambda: quick.request(path).json["stale"] is True, "the last known answer")
        answer = quick.request("/api/history?component=cache&window=90d")
        assert (answer.status, answer.json["code"]) == (503, "database_unavailable")
        assert answer.headers["Retry-After"]
        assert "127.0.0.1" not in answer.body.decode()
    finally:
        servers["postgres"][0].start()
    eventually(lambda: quick.status("/health/db") == 200, "the database passes again", 20)
    eventually(lambda: quick.request(path).json["stale"] is False, "a new answer")


def test_database_outage_is_in_history_afterwards(quick: Service, servers: Servers) -> None:
    eventually(lambda: quick.ask("/api/history?component=db")[1]["uptime"]["samples"] > 3, "there are samples")
    began = time.time()
    for name in ("postgres", "redis"):
        servers[name][0].stop()
    try:
        eventually(lambda: quick.status("/health/db") == 503, "the database fails")
        failing = time.time()
        eventually(lambda: time.time() - failing > 2, "the outage lasts")
    finally:
        for name in ("postgres", "redis"):
            servers[name][0].start()
    eventually(lambda: quick.status("/health/db") == 200, "the database passes again", 20)
    eventually(lambda: quick.ask("/api/history?component=db")[1]["uptime"]["failed"] > 5, "its samples arrive")

    def ended() -> dict[str, Any] | None:
        found = [each for each in quick.ask("/api/incidents")[1]["incidents"] if each["component"] == "db"]
        assert len(found) <= 1
        return found[0] if found and found[0]["ended_at"] else None

    incident = eventually(ended, "the incident is known, and over")
    assert incident["state"] == "fail"
    assert 1.5 < incident["duration_s"] < time.time() - began


def test_exhausted_pool_is_reported(quick: Service, settings: Settings) -> None:
    eventually(lambda: quick.status("/api/incidents") == 200, "there is a history")
    with locked(settings, "history_minute, history_hour, history_incident"):
        paths = [f"/api/incidents?before=1-{number}" for number in range(20)]
        found: list[tuple[int, str]] = []

        def ask(path: str) -> None:
            answer = quick.request(path)
            assert answer.headers["Retry-After"]
            found.append((answer.status, answer.json["code"]))

        callers = [threading.Thread(target=ask, args=(path,)) for path in paths]
        for caller in callers:
            caller.start()
        eventually(lambda: component(quick, "db")["status"] == "warn", "the database has a warning", 20)
        assert component(quick, "db")["output"] == "pool_exhausted"
        assert quick.status("/health/db") == 200
        for caller in callers:
            caller.join()
    assert {status for status, _ in found} == {503}
    assert {code for _, code in found} <= {"pool_exhausted", "query_timeout", "answer_delayed", "overloaded"}
    assert "pool_exhausted" in {code for _, code in found}
    eventually(lambda: quick.status("/api/incidents?before=1-1") == 200, "the pool has connections again")


def test_broken_idle_connections_fail_no_request(quick: Service, settings: Settings) -> None:
    assert quick.status("/api/incidents?before=1-1") == 200
    admin = connect(settings.database, 10)
    for number in range(5):
        admin.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()",
            name=settings.database.name,
        )
        assert quick.status(f"/api/incidents?before=1-{number}") == 200
    admin.close()


def test_service_reports_migrating_until_somebody_migrates(settings: Settings) -> None:
    service, leaving = services = [Service(settings, STACK=settings.database.name) for _ in range(2)]
    try:
        for each in services:
            each.await_status("/health")
            eventually(lambda each=each: each.ask("/health/ready")[1]["phase"] == "migrating", "it says migrating")
        assert service.status("/health/ready") == 503
        for path in ("/api/history?component=db", "/api/incidents", "/api/incidents?before=1-1"):
            assert service.status(path) == 503
        assert service.request("/api/status").json["history"]["known"] is False
        assert leaving.process.stdout
        events = map(json.loads, leaving.process.stdout)  # it may not have asked the database yet
        waiting = next(each for each in events if each["event"] == "waiting for migrations")
        assert "migration failed" not in leaving.end()  # SIGTERM, meanwhile
        assert waiting["pending"] == [each.name for each in migrate.read()]
        assert leaving.process.returncode == 0
        assert migrate.status(settings, migrate.read())[0].state == "pending"  # it applies nothing itself
        migrated(settings)
        service.await_status("/health/ready")
        eventually(lambda: service.status("/api/history?component=db") == 200, "there is a history")
    finally:
        for each in services:
            each.kill()


def test_concurrent_callers_cause_one_query(quick: Service, settings: Settings) -> None:
    path = "/api/history?component=db&window=7d"  # nobody has asked for that before
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = :name AND application_name = 'stackhand'"
    with locked(settings, "history_hour"):
        found: list[list[tuple[int, float]]] = []
        asking = threading.Thread(target=lambda: found.append(together(30, quick, path)))
        asking.start()
        admin = connect(settings.database, 10)
        most = 0
        while asking.is_alive():
            now = admin.run(f"{waiting} AND wait_event_type = 'Lock'", name=settings.database.name)
            most = max(most, now[0][0])
        admin.close()
        asking.join()
    assert most == 1
    assert {status for status, _ in found[0]} == {503}
    eventually(lambda: quick.status(path) == 200, "it is answered again")


def test_replicas_write_one_history(settings: Settings) -> None:
    migrated(settings)
    services = [Service(settings, STACK=settings.database.name, **QUICK) for _ in range(2)]
    try:
        for service in services:
            service.await_status("/health/ready")
        path = "/api/history?component=cache"
        eventually(lambda: services[0].ask(path)[1]["uptime"]["samples"] > 20, "there are samples of both")
        assert services[0].ask(path)[1]["uptime"]["percent"] == 100.0
        connection = connect(settings.database, 10)
        rows = connection.run("SELECT count(DISTINCT instance), count(*) FROM history_sample WHERE component = 'cache'")
        minutes = connection.run(
            "SELECT sum(passed), count(*), count(DISTINCT minute) FROM history_minute WHERE component = 'cache'"
        )
        connection.close()
        assert rows[0][0] == 2
        assert minutes[0][1] == minutes[0][2]
    finally:
        for service in services:
            service.kill()
