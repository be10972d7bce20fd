"""Start the services and wait until they can be used.

A healthy service that runs as the current settings want it stays. It fails as soon as one stops or becomes unhealthy,
with its last health check and log lines, and leaves it there.
"""

from __future__ import annotations

from stackhand.ansible import events
from stackhand.ansible.action import Result
from stackhand.ansible.events import StepDone, TaskBegan
from stackhand.cli.reporter import StepReport
from stackhand.local.action import StackAction, Timed


class StartResult(Result, kw_only=True):
    """The result, with how each start went."""

    started: list[StepReport]


class ActionModule(StackAction):
    """Starts the services and waits until they can be used."""

    Options = Timed

    def act(self, options: Timed, *, check: bool) -> Result:
        """Return how each start went."""
        engine = self.engine(options.engine, check=check)
        if check:
            wanted = engine.would_start()
            for name in wanted:
                events.emit(StepDone(StepReport(name, "would be started", seconds=0.0), changed=True))
            return StartResult(changed=bool(wanted), started=[])
        steps, changed = list[StepReport](), False
        waiting = engine.services()
        events.emit(TaskBegan(f"Wait for {', '.join(waiting)}"))
        for started in engine.start(options.timeout):
            steps.append(started.step())
            changed |= started.changed
            events.emit(StepDone(steps[-1], started.changed))
            waiting.remove(started.name)
            events.emit(TaskBegan(f"Wait for {', '.join(waiting)}"))
        return StartResult(changed=changed, started=steps)
