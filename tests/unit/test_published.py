"""Ports of any Compose file: who collides, what the network reaches, and what the engine has chosen."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stackhand.cli.failure import Failure
from stackhand.local import preflight
from stackhand.local.engines import health
from stackhand.local.engines.compose import containers, status
from stackhand.local.engines.status import ServiceStatus
from stackhand.project.memory import HealthQuestion
from stackhand.project.stack.model import Port, Service, Stack


def service(name: str, *ports: Port, health: str | None = None) -> Service:
    return Service(name, "x", None, [], {}, ports, (), "no", True, False, health, None, None)


def engine(*services: Service, name: str = "compose") -> Any:
    stack = Stack("shop", Path("/nowhere"), {each.name: each for each in services}, "compose.yaml")
    names = [each.name for each in services]
    return SimpleNamespace(stack=stack, name=name, services=lambda: names, own_ports=lambda: {8000, 8001})


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        (Port(80, 8000), Port(81, 8000), True),
        (Port(80, 8000, ""), Port(81, 8000, "::1"), True),
        (Port(80, 8000, "0.0.0.0"), Port(81, 8000), True),
        (Port(80, 8000, "0.0.0.0"), Port(81, 8000, "::1"), False),
        (Port(80, 8000), Port(81, 8000, "127.0.0.2"), False),
        (Port(80, 8000), Port(81, 8000, protocol="udp"), False),
        (Port(80, 8000), Port(80, 8001), False),
        (Port(80, None), Port(80, None), False),
    ],
)
def test_two_services_cannot_publish_one_port(one: Port, other: Port, collide: bool) -> None:
    both = engine(service("one", one), service("two", other))
    if not collide:
        assert preflight.ports(both, free=False, check=True) == {}
        return
    with pytest.raises(Failure, match="one and two publish the same port of this machine, 8000") as caught:
        preflight.ports(both, free=False, check=True)
    assert (caught.value.code, "compose.yaml" in caught.value.next) == (3, True)


def test_what_the_network_reaches_is_told_on_the_engine_that_publishes_it() -> None:
    ports = (Port(80, 8000, ""), Port(81, 8001), Port(53, 53, "::", "udp"), Port(90, None, ""))
    told = "one at 0.0.0.0:8000, one at [::]:53/udp, one at a port that the engine chooses for 90"
    assert preflight.open_ports(engine(service("one", *ports))) == [f"reachable from the network: {told}"]
    assert preflight.open_ports(engine(service("one", *ports), name="embedded")) == []


def container(port: int | None) -> dict[str, Any]:
    numbers = {"::": 32769, "0.0.0.0": port}  # the engine may choose another one on IPv6
    bindings = [{"HostIp": each, "HostPort": str(number)} for each, number in numbers.items()] if port else None
    return {"NetworkSettings": {"Ports": {"80/tcp": bindings, "81/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8001"}]}}}


@pytest.mark.parametrize(
    ("path", "question", "address"),
    [
        ("/up", HealthQuestion("http", url="http://127.0.0.1:32770/up"), "http://127.0.0.1:32770"),
        (None, HealthQuestion("tcp", port=32770), "127.0.0.1:32770"),
    ],
)
def test_a_port_that_the_engine_chooses_is_read_back(path: str | None, question: HealthQuestion, address: str) -> None:
    one = service("one", Port(80, None, ""), Port(81, 8001), health=path)
    found = containers.bound(one, container(32770))
    assert (health.question(found), health.address(found)) == (question, address)
    remembered = status.served(one)
    told = status.bound(remembered, container(32770))
    assert (told.question, told.address, told.ports) == (question, address, [8001, 32770])
    assert status.bound(remembered, container(None)).question == HealthQuestion()


def test_a_service_on_another_address_is_asked_there() -> None:
    one = service("one", Port(80, 8000, "::1"))
    assert health.question(one) == HealthQuestion("tcp", port=8000, host="::1")
    assert health.address(one) == "[::1]:8000"


@pytest.mark.parametrize(
    ("published", "addresses"),
    [
        ([Port(80, 8000, "0.0.0.0"), Port(80, 8000, "::")], ["127.0.0.1:8000"]),
        ([Port(80, 32769, "::"), Port(80, 32770, "0.0.0.0")], ["127.0.0.1:32770"]),
        ([Port(80, 8000), Port(80, 8001, "::1"), Port(53, 53, "", "udp")], ["127.0.0.1:8000", "[::1]:8001"]),
        ([Port(80, 8000, "0.0.0.0"), Port(81, 8001, "::")], ["127.0.0.1:8000", "127.0.0.1:8001"]),
    ],
)
def test_a_port_on_all_interfaces_is_shown_once(published: list[Port], addresses: list[str]) -> None:
    assert ServiceStatus("one", "healthy", "", published=published).addresses == addresses
