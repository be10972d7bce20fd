"""The API of a running service: entity tags, notes, additional components, metrics."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.database import connect
from service.settings import Address
from tests.checkout import eventually
from tests.service.conftest import Server, empty
from tests.service.process import NOTES, TOKEN, Answer, Service, ready

HISTORY = "/api/history?component=web&window=7d"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WRITER = {"Authorization": f"Bearer {NOTES}"}


class Web(http.server.ThreadingHTTPServer):
    """A service beside ours, whose health tests decide on."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answerer)
        self.url = f"http://127.0.0.1:{self.server_port}/healthz"


class Answerer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with Web() as found:
        threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.05}).start()
        yield found
        found.shutdown()


@pytest.fixture(scope="module")
def api(servers: dict[str, tuple[Server, Address]], web: Web) -> Iterator[Service]:
    """The service with a token and another service to look at, all well."""
    more = {"PROBE_INTERVAL": "1", "SAMPLE_INTERVAL": "0.5", "CACHE_TTL": "1", "HEALTH_TARGETS": f"web={web.url}"}
    with empty(servers) as settings:
        names = {"STACK": settings.database.name, "HEALTH_DETAILS_TOKEN": TOKEN, "NOTES_TOKEN": NOTES}
        with ready(settings, **names, **more) as found:
            yield found


def test_known_etag_gets_304(api: Service) -> None:
    first = api.request("/api/incidents")
    tag = first.headers["ETag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = api.request("/api/incidents", If_None_Match=known)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert again.headers["Cache-Control"] == first.headers["Cache-Control"] == "no-cache"
    for unknown in ('"other"', tag.strip('"'), ""):
        assert api.request("/api/incidents", If_None_Match=unknown).body == first.body


def test_status_etag_ignores_elapsed_time(api: Service) -> None:
    def age(answer: Answer) -> float:
        return float(answer.json["components"][0]["age"])

    def same_though_older() -> bool:
        first = api.request("/api/status")
        older = eventually(
            lambda: (now := api.request("/api/status")) and age(now) != age(first) and now, "it is older"
        )
        return bool(
            older.headers["ETag"] == first.headers["ETag"]
            and api.request("/api/status", If_None_Match=first.headers["ETag"]).status == 304
        )

    eventually(same_though_older, "no look comes between")


def test_note_is_visible_at_once_despite_cache(api: Service) -> None:
    connection = connect(api.settings.database, 10)
    row = "('db', now() - interval '1 day', now(), 'fail', 'refused')"
    into = "INSERT INTO history_incident (component, started_at, ended_at, worst, code) VALUES"
    ((number,),) = connection.run(f"{into} {row} RETURNING id")
    connection.close()

    def listed() -> dict[str, Any] | None:
        found = [each for each in api.request("/api/incidents").json["incidents"] if each["id"] == number]
        return found[0] if found else None

    before = eventually(listed, "the incident is listed")
    assert before["note"] == ""
    path, body = f"/api/incidents/{number}/note", '{"note": "A disk was full: ü"}'.encode()
    assert api.request(path, "PUT", body).status == 401
    assert api.request(path, "PUT", body, **BEARER).status == 401  # who reads details writes nothing
    assert api.request(path, "PUT", body, **WRITER).json == {"id": number, "note": "A disk was full: ü"}
    after = listed()
    assert after is not None
    assert after | {"updated_at": ""} == before | {"updated_at": "", "note": "A disk was full: ü"}
    assert api.request(f"/api/incidents/{number + 1}/note", "PUT", body, **WRITER).status == 404
    long = b'{"note": "' + b"x" * 2001 + b'"}'
    assert api.request(path, "PUT", long, **WRITER).json["code"] == "invalid_argument"


def test_target_service_is_a_component(api: Service, web: Web) -> None:
    assert set(api.ask("/health/all")[1]["checks"]) == {"db", "cache", "web"}
    web.status = 503
    try:
        eventually(lambda: api.status("/health/web") == 503, "its failure is seen")
        assert api.ask("/health/web")[1]["checks"]["web"][0]["output"] == "http_503"
        code, body, _ = api.ask("/health/all")
        assert (code, body["status"]) == (200, "warn")
        eventually(lambda: api.request(HISTORY).json["uptime"]["failed"], "its failure is in the history", 20)
    finally:
        web.status = 200
    eventually(lambda: api.status("/health/web") == 200, "it passes again", 5)
    components = {each["name"]: each for each in api.request("/api/status").json["components"]}
    assert (components["web"]["critical"], components["db"]["critical"]) == (False, True)


def test_defect_is_answered_and_logged_without_secrets(api: Service) -> None:
    connection = connect(api.settings.database, 10)
    connection.run("ALTER TABLE history_incident RENAME COLUMN note TO gone")
    try:
        answer = api.request("/api/incidents?before=1-1")
        assert (answer.status, answer.json["code"]) == (500, "internal_server_error")
        assert "note" not in answer.body.decode()
    finally:
        connection.run("ALTER TABLE history_incident RENAME COLUMN gone TO note")
        connection.close()
    assert api.request("/api/incidents?before=1-1").status == 200


def test_metrics_cover_requests_and_components(api: Service) -> None:
    def metrics() -> dict[str, float]:
        answer = api.request("/metrics")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {
            " ".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
        }

    before = metrics()
    for path, headers in (("/health", {}), ("/health", BEARER), ("/health/db", {}), ("/nothing", {})):
        api.request(path, **headers)
    after = metrics()
    seen = "stackhand_http_request_duration_seconds_count GET"
    for what, more in (("/health 2xx", 2), ("/health/<name> 2xx", 1), ("other 4xx", 1)):
        assert after[f"{seen} {what}"] - before.get(f"{seen} {what}", 0) == more
    assert [after[f"stackhand_component_state {name} pass"] for name in ("db", "cache", "web")] == [1, 1, 1]
    assert after["stackhand_pool_size"] == 5
    assert after["stackhand_http_threads"] == 8
    assert "stackhand_cache_requests_total hit" in after
    assert after["stackhand_history_dropped_total"] == 0
    assert not [name for name in after if name.startswith("stackhand_metrics_failed_total ")]
