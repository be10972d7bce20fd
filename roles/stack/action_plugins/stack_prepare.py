"""See library/stack_prepare.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.local.action import StackAction


class ActionModule(StackAction):
    """Has what the services need before they start."""

    options = frozenset({"engine"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Prepare the engine."""
        engine = self.engine(str(arguments["engine"]), check=check)
        if check:
            return {"changed": engine.would_prepare()}
        changed, done = engine.prepare(self.progress)
        shown = {"step": step("prepared", done[0], notes=done[1:])} if done else {}
        return {"changed": changed, **shown}
