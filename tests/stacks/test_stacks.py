"""Each stack goes up without an edit, is looked at, loses a service and is seen to, and goes down again."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import pytest

from stackhand.local.engines.compose import status
from stackhand.project.compose import composefiles
from tests.checkout import docker, eventually
from tests.engines import COMPOSE, use
from tests.stacks.foreign import Foreign, project

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Tour:
    """What is expected of a stack.

    Args:
        stack: its folder.
        healthy: services that run and pass.
        done: jobs that ran to their end.
        restarted: the service that is restarted, with those that follow it: where there is one with a health check that
            one, for any other has to stay up for two seconds.
        killed: the service that is killed, and how it is seen then.
        log: a service and what its log says.
    """

    stack: str
    healthy: set[str]
    restarted: tuple[str, ...]
    killed: tuple[str, str]
    log: tuple[str, str]
    done: set[str] = field(default_factory=set)


CONSUMERS = "orders users billing mail search audit export import stock prices taxes returns reviews ratings carts"
CONSUMERS += " coupons images feeds events clicks views logins"
TOURS = [
    Tour(
        "django-celery", {"db", "broker", "web", "worker", "beat"}, ("worker",), ("beat", "failed"), ("worker", "done:")
    ),
    Tour(
        "rails-migrate",
        {"db", "web", "sidekiq"},
        ("web",),
        ("web", "failed"),
        ("migrate", "CreateOrders: migrated"),
        {"migrate", "assets"},
    ),
    Tour("node-monorepo", {"api", "web"}, ("api",), ("web", "failed"), ("web", "GET /")),
    Tour(
        "go-grpc",
        {"api.v1", "metrics_agent", "workers", "sidecar"},
        ("api.v1", "sidecar"),
        ("metrics_agent", "failed"),
        ("metrics_agent", "metric requests:1"),
    ),
    Tour("include-only", {"cache", "front"}, ("cache",), ("cache", "failed"), ("cache", "")),
    Tour("extends-override", {"web", "worker"}, ("worker",), ("worker", "failed"), ("worker", "mode development")),
    Tour(
        "profiles",
        {"core", "database", "metrics", "traces", "logs"},
        ("database",),
        ("core", "failed"),
        ("logs", "part"),
    ),
    Tour(
        "anchors-29",
        {"bus", "cache", "gate", "proxy", "orders-api", "users-api", "billing-api"}
        | {f"{each}-consumer" for each in CONSUMERS.split()},
        ("gate",),
        ("mail-consumer", "failed"),
        ("taxes-consumer", "consuming taxes"),
    ),
    Tour(
        "airflow-init",
        {"postgres", "webserver", "scheduler"},
        ("webserver",),
        ("scheduler", "failed"),
        ("airflow-init", "user created for 50000"),
        {"volume-init", "db-init", "airflow-init"},
    ),
    Tour(
        "worker-only",
        {"consumer", "heartbeat", "flaky"},
        ("consumer",),
        ("consumer", "failed"),
        ("flaky", "try"),
        {"seed"},
    ),
]


@pytest.mark.parametrize("tour", [pytest.param(each, id=each.stack, marks=COMPOSE.marks) for each in TOURS])
def test_a_stack_of_somebody_else_runs_on_compose_without_an_edit(tour: Tour) -> None:
    with use("compose"), project(tour.stack, "compose") as found:
        if tour.stack == "worker-only":
            found.take_newest_compose("compose.yaml", "hooks.yaml")
        if tour.stack == "anchors-29":
            overlay = "services: {billing-api: {x-health: /}}\n"
            (found.path / composefiles.OVERLAY).write_text(overlay, encoding="utf-8")
        said = found.inv("up", "--json").json
        states = {each["name"]: each["state"] for each in said["services"]}
        assert states == {**dict.fromkeys(tour.healthy, "healthy"), **dict.fromkeys(tour.done, "done")}
        assert all(each["answer"] == "exited with 0" for each in said["services"] if each["name"] in tour.done)
        services = {each["name"]: each for each in said["services"]}
        assert _ports_as_told_by_us(services) == _ports_as_told_by_compose(found)
        _ask(found, tour, services)
        service, text = tour.log
        eventually(lambda: text in found.compose("logs", service), f"{text} in the log of {service}")
        assert text in found.inv("logs", service).out
        runs = next(iter(sorted(tour.healthy)))
        assert "/" in found.inv("shell", runs, stdin="pwd\n").out

        before = {name: {each["Id"] for each in found.containers(name)} for name in tour.restarted}
        assert found.inv("restart", tour.restarted[0]).code == 0
        for name, ids in before.items():
            assert not ids & {each["Id"] for each in found.containers(name)}, name

        killed, state = tour.killed
        found.kill_containers(killed)
        status = found.inv("status", "--json", check=False)
        assert status.code == 4
        seen = {each["name"]: each for each in status.json["services"]}[killed]
        assert (seen["state"], "exited with 137" in seen["answer"]) == (state, True)
        if tour.stack == "worker-only":
            assert "pre_stop" not in found.inv("down").out
            kept = docker(
                "run", "--rm", "--volume", f"{found.name}_prepared:/kept", "python:3.13-alpine", "cat", "/kept/stopped"
            )
            assert kept == "stopping\n"
        assert found.inv("down", "--volumes", "--yes").code == 0


def _ask(found: Foreign, tour: Tour, services: dict[str, Any]) -> None:
    """Use what only this stack has."""
    if tour.stack == "go-grpc":
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.sendto(b"requests:1", ("127.0.0.1", found.ports["STATSD_PORT"]))
        shown = found.inv("status").out
        assert len(re.findall(r"127\.0\.0\.1:\d+", next(line for line in shown.splitlines() if "api.v1" in line))) == 3
        assert "reachable from the network: " in shown
        assert f"api.v1 at 0.0.0.0:{found.ports['HTTP_PORT']}, " in shown
        ipv4, ipv6 = (set(re.findall(rf" {re.escape(each)}:(\d+)", shown)) for each in ("0.0.0.0", "[::]"))
        assert (len(ipv4), ipv4 & ipv6) == (4, set())
        assert len(ipv6) <= 1, "the engine may give the port that it chooses another number on IPv6"
    if tour.stack == "node-monorepo":
        with socket.create_connection(("127.0.0.1", found.ports["SITE_PORT"])) as client:
            client.sendall(b"GET /site.json HTTP/1.0\r\n\r\n")
            assert b'"title": "a shop"' in b"".join(iter(lambda: client.recv(4096), b""))
    if tour.stack == "worker-only":
        assert [len(found.containers(name)) for name in ("consumer", "paused")] == [3, 0]
        assert services["consumer"]["answer"].endswith("(3 of 3 containers run)")
        assert found.containers("flaky")[0]["RestartCount"] == 1
        heartbeat = found.containers("heartbeat")[0]["Id"]
        assert docker("exec", heartbeat, "cat", "/tmp/started", "/prepared/before") == "started\nprepared\n"
    if tour.stack == "anchors-29":
        assert (services["billing-api"]["answer"], services["billing-api"]["address"]) == ("200 OK", "")
        container = found.containers("billing-api")[0]["Id"]
        answers = [status.from_inside(container, f"http://127.0.0.1:8000{path}") for path in ("/", "/missing")]
        assert [each.healthy for each in answers] == [True, False]
        assert "404" in answers[1].message
    if tour.stack == "extends-override":
        assert "is already up" in found.inv("up").out


def _ports_as_told_by_us(services: dict[str, Any]) -> set[tuple[str, str, int, int, str]]:
    return {
        (name, each["address"], each["port"], each["target"], each["protocol"])
        for name, service in services.items()
        for each in service["published"]
    }


def _ports_as_told_by_compose(found: Foreign) -> set[tuple[str, str, int, int, str]]:
    lines = [json.loads(line) for line in found.compose("ps", "--format", "json").splitlines()]
    return {
        (each["Service"], port["URL"], port["PublishedPort"], port["TargetPort"], port["Protocol"])
        for each in lines
        for port in each["Publishers"] or []
        if port["PublishedPort"]
    }


@pytest.mark.compose
def test_one_service_of_twenty_nine_that_cannot_run_ends_up_in_one_paragraph_before_anything_starts() -> None:
    with use("compose"), project("anchors-29", "compose") as found:
        override = found.path / "docker-compose.override.yml"
        override.write_text("services: {mail-consumer: {image: 'registry.invalid/mail:1'}}")
        said = found.inv("up", check=False)
        assert said.code == 3
        assert "The image registry.invalid/mail:1 is not on this machine and cannot be pulled." in said.err
        assert "used by mail-consumer" in said.err
        taken = f"ports: ['{found.ports['PROXY_PORT']}:8000']"
        override.write_text(f"services: {{users-api: {{{taken}}}}}")
        said = found.inv("up", check=False)
        assert said.code == 3
        assert f"publish the same port of this machine, {found.ports['PROXY_PORT']}." in said.err
        assert not found.compose("ps", "--all", "--quiet")


def test_known_images_run_on_embedded_without_any_key_and_the_others_are_listed_with_what_they_lack() -> None:
    with project("django-celery", "embedded") as found:
        said = found.inv("up", "--json")
        assert {each["name"]: each["state"] for each in said.json["services"]} == {"broker": "healthy", "db": "healthy"}
        assert said.json["unsupported"] == ["web", "worker", "beat"]
        told = " ".join(said.err.split())
        assert "skipped, for lack of x-embedded: web; add x-embedded: {command: python -m http.server $$PORT}" in told
        assert "skipped, for lack of x-embedded: beat; add x-embedded: {command: python -u beat.py}" in told
        again = found.inv("up").out
        assert "is already up" in again
        assert "not on embedded, so not running: web, worker, beat" in again
        assert "not on this engine, for they have no x-embedded: web, worker, beat" in found.inv("status").out
        assert found.inv("db.shell", stdin="SELECT current_user").out.split()[2] == "shop"


def test_a_stack_of_known_images_runs_on_embedded_whole() -> None:
    with project("include-only", "embedded") as found:
        said = found.inv("up", "--json").json
        assert [(each["name"], each["state"]) for each in said["services"]] == [
            ("cache", "healthy"),
            ("front", "healthy"),
        ]
        assert said["unsupported"] == []
        assert _get(found.ports["FRONT_PORT"], "/") == (200, "text/html", "<h1>front</h1>\n")
        follows = (
            "{cache: {condition: service_healthy, restart: true}, extra: {condition: service_started, required: false}}"
        )
        extra = "{image: x, x-embedded: {command: 'false'}}"
        (found.path / composefiles.OVERLAY).write_text(
            f"services: {{front: {{depends_on: {follows}}}, extra: {extra}}}\n", encoding="utf-8"
        )
        said = found.inv("up", check=False)
        assert (said.code, "extra stopped" in said.err) == (4, True)
        assert {name: each["state"] for name, each in found.services().items()} == {
            "cache": "healthy",
            "extra": "failed",
            "front": "healthy",
        }
        before = found.services()["front"]["pid"]
        found.inv("restart", "cache")
        assert found.services()["front"]["pid"] not in {before, None}
    with project("worker-only", "embedded") as found:
        said = found.inv("up", check=False)
        assert said.code == 3
        assert "None of the services runs on embedded: they have no x-embedded." in said.err
        assert not found.inv("status", check=False).out.count("healthy")


def _get(port: int, path: str) -> tuple[int, str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return answer.status, answer.headers.get_content_type(), answer.read().decode()
