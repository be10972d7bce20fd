"""What is said of a container that did not start, from what Compose said and how it is by now."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.containers import docker, images
from stackhand.containers.listing import Container
from stackhand.local.engines import health
from stackhand.local.engines.compose import containers, failures, gate, status
from stackhand.project.memory import Served
from stackhand.project.stack import loading
from tests.checkout import ROOT

SECRETS = {"POSTGRES_PASSWORD": "secret-1", "DATABASE_PASSWORD": "secret-3", "REDIS_PASSWORD": "secret-2"}


def container(**fields: Any) -> Container:
    running = {"Status": "running", "ExitCode": 0, "Health": {"Status": "starting", "Log": []}}
    return {"Name": "/shop-api", "State": running, "RestartCount": 0, "NetworkSettings": {"Ports": {}}} | fields


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "log", lambda *_: [])


@pytest.mark.parametrize(
    ("found", "message", "what"),
    [
        (container(), "dependency failed to start: container shop-api exited (1)", "api stopped while it started"),
        (container(RestartCount=1), "dependency failed to start", "api stopped while it started"),
        (container(), "dependency failed to start: container shop-api is unhealthy", "api did not become healthy"),
        (container(), "dependency failed to start: container shop-api-2 exited (1)", "api did not become healthy"),
    ],
)
def test_a_container_that_ended_is_not_called_slow_because_it_runs_again_by_now(
    found: Container, message: str, what: str
) -> None:
    assert failures.up_failed(message, {"api": found}, []).what.startswith(what)


def test_who_ended_is_told_and_not_who_still_starts() -> None:
    found = {"redis": container(Name="/shop-redis"), "postgres": container(Name="/shop-postgres")}
    message = "dependency failed to start: container shop-postgres exited (1)"
    assert failures.up_failed(message, found, []).what.startswith("postgres stopped while it started")


def test_who_is_late_is_one_that_is_not_well() -> None:
    stack = loading.load(ROOT, SECRETS)
    state = {"Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}, "StartedAt": "then"}
    well = {"postgres": [container(Id="1", State=state)], "redis": [container(Id="2", State=state)]}
    services = [stack.services[name] for name in ("postgres", "redis", "api")]
    still_at_work = gate.watch(services, lambda: well, 0.0, before=gate.generations(well), at_work=lambda: True)
    with pytest.raises(Failure, match="api had no container after 0 s"):
        next(still_at_work)


def test_crashes_of_the_past_are_not_held_against_a_healthy_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ask", lambda _: health.Answer(healthy=True, message="accepting connections"))
    postgres = loading.load(ROOT, SECRETS).services["postgres"]
    check = {"ExitCode": 0, "Output": "", "End": "2026-01-31T12:00:02Z"}
    state = {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-31T12:00:00Z"}
    well = container(Id="1", RestartCount=4, State=state | {"Health": {"Status": "healthy", "Log": [check]}})
    [started] = gate.watch([postgres], lambda: {"postgres": [well]}, 1.0)
    assert started.message == "accepting connections"
    ill = well | {"State": state | {"Health": {"Status": "starting", "Log": []}}}
    with pytest.raises(Failure, match="postgres stopped while it started, 5 times"):
        next(gate.watch([postgres], lambda: {"postgres": [ill]}, 1.0))


def test_a_container_that_ran_already_took_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ask", lambda _: health.Answer(healthy=True, message="PONG"))
    redis = loading.load(ROOT, SECRETS).services["redis"]
    check = {"ExitCode": 0, "Output": "", "End": "2026-01-31T12:04:53Z"}
    health_log = {"Status": "healthy", "Log": [check]}
    state = {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-31T12:00:00Z", "Health": health_log}
    found = {"redis": [container(Id="1", State=state)]}
    [ran] = gate.watch([redis], lambda: found, 1.0, before=gate.generations(found))
    [started] = gate.watch([redis], lambda: found, 1.0)
    assert (ran.changed, ran.seconds) == (False, 0.0)
    assert (started.changed, started.seconds) == (True, 293.0)


def test_an_engine_that_is_slow_to_tell_its_folder_is_not_refused_for_its_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(docker, "ANSWER_WITHIN", 0.1)
    images.require_disk()


@pytest.mark.parametrize(
    ("text", "state", "words"),
    [
        ("", {"Status": "running"}, "running (no health check)"),
        ("restart: always", {"Status": "running"}, "running (no health check)"),
        (
            "ports: ['127.0.0.1:80:80']",
            {"Status": "running"},
            "port open",
        ),  # docker opens it, whatever the service does
        ("", {"Status": "exited", "ExitCode": 0}, "done"),
        (
            "healthcheck: {test: x}",
            {"Status": "running", "Health": {"Status": "healthy"}},
            "healthy (its health check)",
        ),
    ],
)
def test_what_nobody_can_ask_has_started_once_it_has_stayed_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, state: dict[str, Any], words: str
) -> None:
    """It was waited for until it would end, as if it were there to end."""
    monkeypatch.setattr(health, "UP_AFTER", 0.5)
    if "ports" in text:
        monkeypatch.setattr(health, "ask", lambda _: health.Answer(healthy=True, message="port open"))
    (tmp_path / "docker-compose.yml").write_text(f"services:\n  worker:\n    image: x\n    {text}\n")
    worker = loading.load(tmp_path, {}).services["worker"]
    began = datetime.now(UTC)
    ended = began.isoformat()
    found = container(Id="1", State={"ExitCode": 0, "StartedAt": began.isoformat(), "FinishedAt": ended} | state)
    [started] = gate.watch([worker], lambda: {"worker": [found]}, 5.0)
    assert started.message == words
    waited = (datetime.now(UTC) - began).total_seconds()
    assert (waited >= health.UP_AFTER) is (words in {health.UNCHECKED, "port open"})


def test_a_job_that_does_not_end_is_told_as_that(tmp_path: Path) -> None:
    needs = "depends_on: {seed: {condition: service_completed_successfully}}"
    (tmp_path / "docker-compose.yml").write_text(f"services: {{seed: {{image: x}}, web: {{image: x, {needs}}}}}")
    stack = loading.load(tmp_path, {})
    state = {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-31T12:00:00Z"}
    with pytest.raises(Failure, match="seed did not finish within 0 s"):
        next(gate.watch(stack.services.values(), lambda: {"seed": [container(Id="1", State=state)]}, 0.0))


def test_a_health_check_that_has_not_passed_yet_is_not_called_healthy() -> None:
    state = {"Status": "running", "Pid": 0, "StartedAt": "2026-01-31T12:00:00Z", "Health": {"Status": "starting"}}
    found = status.of("worker", [container(Id="1", State=state)], Served())
    assert (found.state, found.healthy) == ("starting", False)
    assert found.answer.startswith("starting: no health check has finished yet")


def test_a_job_that_failed_before_it_succeeded_is_done() -> None:
    state = {"Status": "exited", "ExitCode": 0, "FinishedAt": "2026-01-31T12:00:00Z"}
    found = container(Id="1", RestartCount=containers.CRASHES, State=state)
    assert status.of("seed", [found], Served(may_finish=True)).state == "done"
    assert status.of("seed", [found], Served(may_finish=False)).state == "failed"


RUNS = {"Status": "running", "Pid": 0, "StartedAt": "2026-01-31T12:00:00Z", "ExitCode": 0}
ENDED = {"Status": "exited", "ExitCode": 7, "StartedAt": RUNS["StartedAt"], "FinishedAt": "2026-01-31T12:00:01Z"}


@pytest.mark.parametrize(
    ("states", "state", "answer"),
    [
        ([RUNS, RUNS, RUNS], "healthy", "running (no health check) (3 of 3 containers run)"),
        ([RUNS, ENDED, RUNS], "failed", "exited with 7 (2 of 3 containers run)"),
        ([RUNS, RUNS], "failed", "running (no health check) (2 of 3 containers run)"),
    ],
    ids=["all run", "one ended", "one is gone"],
)
def test_a_service_is_as_that_container_which_is_worst_off(
    states: list[dict[str, Any]], state: str, answer: str
) -> None:
    all_of = [container(Id=str(number), State=each) for number, each in enumerate(states)]
    found = status.of("worker", all_of, Served(replicas=3))
    assert (found.state, found.answer) == (state, answer)


def test_a_service_has_started_once_all_its_containers_have(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {worker: {image: x, scale: 2}, off: {image: x, scale: 0}}")
    stack = loading.load(tmp_path, {})
    assert [each.replicas for each in stack.services.values()] == [0, 2]
    one, two = container(Id="1", State=RUNS), container(Id="2", State=RUNS)
    looks = iter([{"worker": [one]}, {"worker": [one, two]}])
    [started] = gate.watch([stack.services["worker"]], lambda: next(looks), 5.0)
    assert started.message == "running (no health check) (2 containers)"


def test_a_service_that_the_others_can_do_without_keeps_none_from_its_start(tmp_path: Path) -> None:
    needs = "depends_on: {mail: {condition: service_started, required: false}}"
    (tmp_path / "compose.yaml").write_text(f"services: {{mail: {{image: x}}, web: {{image: x, {needs}}}}}")
    stack = loading.load(tmp_path, {})
    found = {"mail": [container(Id="1", State=ENDED)], "web": [container(Id="2", State=RUNS)]}
    watched = gate.watch(stack.services.values(), lambda: found, 5.0, dispensable=stack.dispensable)
    assert next(watched).name == "web"
    with pytest.raises(Failure, match="mail stopped while it started: exited with 7"):
        next(watched)
    with pytest.raises(Failure, match="mail stopped"):
        next(gate.watch(stack.services.values(), lambda: found, 5.0))


def test_what_follows_a_service_is_restarted_with_it(tmp_path: Path) -> None:
    follows = "depends_on: {db: {condition: service_started, restart: true}}"
    side = "side: {image: x, network_mode: 'service:api', depends_on: {api: {condition: service_started}}}"
    rest = f"api: {{image: x, {follows}}}, {side}, web: {{image: x, depends_on: [api]}}"
    (tmp_path / "compose.yaml").write_text(f"services: {{db: {{image: x}}, {rest}}}")
    stack = loading.load(tmp_path, {})
    assert stack.followers(["db"]) == ["api", "side"]
    assert stack.followers(["web"]) == []


@pytest.mark.parametrize(
    ("written", "restart"),
    [
        ("deploy: {restart_policy: {condition: on-failure}}", "on-failure"),
        ("deploy: {restart_policy: {}}", "always"),
        ("deploy: {restart_policy: {condition: none}}", "no"),
        ("deploy: {replicas: 2}", "no"),
        ("restart: always", "always"),
    ],
)
def test_a_restart_policy_of_deploy_counts_too(tmp_path: Path, written: str, restart: str) -> None:
    (tmp_path / "compose.yaml").write_text(f"services: {{worker: {{image: x, {written}}}}}")
    assert loading.load(tmp_path, {}).services["worker"].restart == restart


@pytest.mark.parametrize(
    ("line", "way_out"),
    [
        (
            'Get "https://registry/v2/": tls: failed to verify certificate: x509: unknown authority',
            "your network's certificate",
        ),
        ("write /var/lib/docker/tmp/x: no space left on device", "docker system prune"),
        ("toomanyrequests: You have reached your pull rate limit", "docker login: the registry currently requires"),
        ("dial tcp 127.0.0.1:9: connect: connection refused", "a registry mirror"),
    ],
)
def test_refused_pull_is_reported_with_its_fix(line: str, way_out: str) -> None:
    assert way_out in images.not_pullable("shop/api:1", ["pulling", line]).next
