"""See library/stack_verify.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.local import verification
from stackhand.local.action import StackAction
from stackhand.local.engines import health


class ActionModule(StackAction):
    """Checks that what answers is this stack, waits until all of it is healthy, and reports."""

    options = frozenset({"engine", "started", "timeout"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Return the report of the whole start."""
        if check:
            return {"changed": False}
        engine = self.engine(str(arguments["engine"]))
        found = verification.verify(engine)
        verification.await_pass(engine, float(arguments["timeout"]))
        unasked = [each.name for each in found if each.state == "done" or each.answer == health.UNCHECKED]
        words = f"{len(found) - len(unasked)} services answer as {engine.stack.name}"
        return {
            "changed": False,
            "step": step("verified", words + (f"; not asked: {', '.join(unasked)}" if unasked else "")),
            "report": verification.report(engine, found, list(arguments["started"])),
        }
