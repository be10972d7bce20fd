"""The lifecycle of one checkout, from its first `./inv up` to its last `./inv down`; each test checks one thing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.checkout import Checkout, Said, docker, eventually
from tests.leaks import lasting_checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # whoever comes first waits for all of it
SERVICES = ["postgres", "redis", "api", "web"]
PASSWORDS = {"POSTGRES_PASSWORD": "'a\"b$c#d e{f}%g;h'", "REDIS_PASSWORD": "\"it's a $$ \\\\ '#' \\n line\""}
NEED_A_RUNNING_STACK = ("status", "restart", "open", "db.status", "db.shell", "db.seed", "cache.shell")
OUTAGES = "SELECT count(*) FROM stackhand_status.history_sample WHERE status IN ('warn', 'fail')"


@dataclass(frozen=True)
class Lifecycle:
    """What was said and seen in it, in the order of its days."""

    checkout: Checkout
    nothing_runs: Said
    first_up: dict[str, Any]
    health: str
    outages: str
    stacks: tuple[str, str]
    ping: str
    logs: Said
    up_again: dict[str, Any]
    down: Said
    without_stack: dict[str, Said]
    plain_up: Said
    page: int
    kept: tuple[str, str]
    down_without_settings: Said
    down_volumes: Said
    left: list[str]
    engine_then: str
    the_other: int


@pytest.fixture(scope="module")
def lifecycle(engine: str, stack: Checkout) -> Iterator[Lifecycle]:
    with lasting_checkout(engine) as checkout:
        yield live(checkout, stack)


def live(checkout: Checkout, other: Checkout) -> Lifecycle:
    """Live through it, beside another running checkout."""
    checkout.env(**PASSWORDS)
    nothing_runs = checkout.inv("down")
    first_up = checkout.inv("up", "--json").json
    health = checkout.ask("/health/all")[1]["status"]
    stacks = (checkout.ask("/version")[1]["stack"], other.ask("/version")[1]["stack"])
    ping = checkout.inv("cache.shell", stdin="PING").out
    checkout.ask("/version", "WEB_PORT")
    logs = eventually(
        lambda: '"/version"' in checkout.inv("logs").out and checkout.inv("logs"), "the request is logged"
    )
    up_again = checkout.inv("up", "--json").json
    outages = checkout.inv("db.shell", stdin=OUTAGES).out
    checkout.inv("db.shell", stdin="CREATE TABLE kept AS SELECT 7 AS seven")
    checkout.inv("cache.shell", stdin="SET kept seven")
    down = checkout.inv("down")
    without_stack = {verb: checkout.inv(verb, check=False) for verb in NEED_A_RUNNING_STACK}
    plain_up = checkout.inv("up")
    page = checkout.ask("/", "WEB_PORT")[0]
    kept = (
        checkout.inv("db.shell", stdin="SELECT * FROM kept").out,
        checkout.inv("cache.shell", stdin="GET kept").out,
    )
    (checkout.path / ".env").unlink()
    return Lifecycle(
        checkout=checkout,
        nothing_runs=nothing_runs,
        first_up=first_up,
        health=health,
        outages=outages,
        stacks=stacks,
        ping=ping,
        logs=logs,
        up_again=up_again,
        down=down,
        without_stack=without_stack,
        plain_up=plain_up,
        page=page,
        kept=kept,
        down_without_settings=checkout.inv("down"),
        down_volumes=checkout.inv("down", "--volumes", "--yes"),
        left=data_of(checkout),
        engine_then=checkout.inv("status", "--json", check=False).json["engine"],
        the_other=other.ask("/health/ready")[0],
    )


def data_of(checkout: Checkout) -> list[str]:
    if checkout.engine == "compose":
        label = f"label=com.docker.compose.project={checkout.name}"
        return [each for kind in ("volume", "network") for each in docker(kind, "ls", "-q", "--filter", label).split()]
    return [str(path) for path in checkout.state.glob("data/*")]


def test_down_reports_when_nothing_runs(lifecycle: Lifecycle) -> None:
    assert "is not running" in lifecycle.nothing_runs.out


def test_up_json_prints_one_document(lifecycle: Lifecycle, engine: str) -> None:
    document = lifecycle.first_up
    states = {service["name"]: service["state"] for service in document["services"]}
    assert list(states) == ["postgres", "redis", "migrate", "api", "web"]
    assert states == {**dict.fromkeys(SERVICES, "healthy"), "migrate": "done"}
    assert document["engine"] == engine
    assert document["changed"] is True
    assert [step["name"] for step in document["slowest_path"]][-1] == "web"
    assert lifecycle.up_again["changed"] is False


def test_up_ends_healthy_and_records_no_outage(lifecycle: Lifecycle) -> None:
    assert lifecycle.health == "pass"
    assert lifecycle.outages.split()[2] == "0"


def test_passwords_with_special_characters_reach_every_program(lifecycle: Lifecycle) -> None:
    assert lifecycle.health == "pass"
    assert lifecycle.ping.strip().endswith("PONG")


def test_logs_are_sorted_by_time(lifecycle: Lifecycle) -> None:
    lines = lifecycle.logs.out
    assert {line.partition("|")[0].strip() for line in lines.splitlines()} == {*SERVICES, "migrate"}
    assert lines.index("database system is ready") < lines.index('"event": "ready"')


def test_two_checkouts_run_side_by_side(lifecycle: Lifecycle) -> None:
    assert lifecycle.stacks[0] != lifecycle.stacks[1]
    assert lifecycle.the_other == 200


def test_down_volumes_removes_the_data(lifecycle: Lifecycle) -> None:
    assert "data removed" in lifecycle.down_volumes.out
    assert lifecycle.left == []


def test_down_volumes_keeps_only_the_engine_choice(lifecycle: Lifecycle) -> None:
    assert lifecycle.engine_then == lifecycle.checkout.engine


@pytest.mark.parametrize("verb", NEED_A_RUNNING_STACK)
def test_verb_on_stopped_stack_reports_how_to_start_it(lifecycle: Lifecycle, verb: str) -> None:
    said = lifecycle.without_stack[verb]
    assert said.code == 4
    assert "./inv up" in said.err + said.out


def test_up_reports_addresses_and_slowest_path(lifecycle: Lifecycle) -> None:
    ports = lifecycle.checkout.ports
    lines = lifecycle.plain_up.out.splitlines()
    for service, port in zip(SERVICES, ("POSTGRES_PORT", "REDIS_PORT", "API_PORT", "WEB_PORT"), strict=True):
        assert any(line.split()[1:2] == [service] and str(ports[port]) in line for line in lines)
    assert re.search(
        r"slowest path: (postgres [\d.]+ s > migrate|redis) [\d.]+ s > api [\d.]+ s > web [\d.]+ s\)",
        lifecycle.plain_up.out,
    )
    assert lifecycle.page == 200


def test_down_keeps_data_for_next_up(lifecycle: Lifecycle) -> None:
    database, cache = lifecycle.kept
    assert database.split()[2] == "7"
    assert "seven" in cache


@pytest.mark.parametrize("said", ["down", "down_without_settings"])
def test_down_stops_everything_and_keeps_the_data(lifecycle: Lifecycle, said: str) -> None:
    assert "stopped: api, postgres, redis, web" in getattr(lifecycle, said).out
    assert "its data is kept" in getattr(lifecycle, said).out
