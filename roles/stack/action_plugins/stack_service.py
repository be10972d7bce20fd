"""See library/stack_service.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.local.action import StackAction
from stackhand.local.engines.embedded.engine import Embedded


class ActionModule(StackAction):
    """Starts one service of the embedded engine and waits until it can be used."""

    options = frozenset({"engine", "service", "timeout"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Return how the start went."""
        engine = self.engine(str(arguments["engine"]), check=check)
        assert isinstance(engine, Embedded)  # noqa: S101 - the role calls it for that engine
        name = str(arguments["service"])
        if check:
            changed = engine.would_start(name)
            return {"changed": changed, "step": step(name, "would be started" if changed else "runs", seconds=0.0)}
        started = engine.start(name, float(arguments["timeout"]))
        return {"changed": started.changed, "step": started.to_step()}
