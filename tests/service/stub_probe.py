"""A stub probe, and helpers for tests of probes and components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from service.health.component import Component, Probe


class StubProbe:
    """A probe with a given behaviour."""

    address = "odd"

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def check(self) -> Any:
        return self.act()

    def abort(self) -> None:
        pass


def raises(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


def component(probe: Probe, name: str = "it", **more: Any) -> Component:
    return Component(name, "datastore", probe, **{"interval": 0.1, "deadline": 20.0, "rise": 1, "fall": 1, **more})


def code(found: Component) -> str:
    return str(found.to_dict().get("output", ""))


def check_result(found: Component) -> tuple[str, str]:
    found.check()
    return found.status, code(found)
