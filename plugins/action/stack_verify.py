"""Check that what answers is this stack, wait until all of it is healthy, and report as `up --json`."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.local import verification
from stackhand.local.action import StackAction, Timed
from stackhand.local.engines import health


class ActionModule(StackAction):
    """Checks that what answers is this stack, waits until all of it is healthy, and reports."""

    class Options(Timed, kw_only=True):
        """Its options.

        Args:
            started: how each service was started, for the times.
        """

        started: list[dict[str, Any]]

    def act(self, options: Options, *, check: bool) -> dict[str, Any]:
        """Return the report of the whole start."""
        if check:
            return {"changed": False}
        engine = self.engine(options.engine)
        services = verification.verify(engine)
        verification.await_pass(engine, options.timeout)
        self.state.remember(up=True)
        unasked = [each.name for each in services if each.state == "done" or each.answer.startswith(health.UNCHECKED)]
        message = f"{len(services) - len(unasked)} services answer as {engine.stack.name}"
        return {
            "changed": False,
            "step": step("verified", message + (f"; not checked: {', '.join(unasked)}" if unasked else "")),
            "report": verification.report(engine, services, options.started),
        }
