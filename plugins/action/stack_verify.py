"""Check that what answers is this stack, wait until all of it is healthy, and report as `up --json`."""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli import console
from stackhand.cli.reporter import StepReport
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

        started: list[StepReport]

    def act(self, options: Options, *, check: bool) -> Result:
        """Return the report of the whole start."""
        if check:
            return Result(changed=False)
        engine = self.engine(options.engine)
        services = verification.verify(engine)
        verification.await_pass(engine, options.timeout)
        with self.state.edit() as memory:
            memory.up = True
        unasked = [each.name for each in services if each.state == "done" or each.answer.startswith(health.UNCHECKED)]
        asked = len(services) - len(unasked)
        message = f"{console.counted(asked, 'service')} {'answers' if asked == 1 else 'answer'} as {engine.stack.name}"
        return Result(
            changed=False,
            step=StepReport("verified", message + (f"; not checked: {', '.join(unasked)}" if unasked else "")),
            report=verification.report(engine, services, options.started),
        )
