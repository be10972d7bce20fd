"""Start the services and wait until they can be used.

A healthy service that runs as the current settings want it stays. It fails as soon as one stops or becomes unhealthy,
with its last health check and log lines, and leaves it there.
"""

from __future__ import annotations

from typing import Any

from stackhand.ansible import events
from stackhand.ansible.action import step
from stackhand.local.action import StackAction, Timed


class ActionModule(StackAction):
    """Starts the services and waits until they can be used."""

    Options = Timed

    def act(self, options: Timed, *, check: bool) -> dict[str, Any]:
        """Return how each start went."""
        engine = self.engine(options.engine, check=check)
        if check:
            wanted = engine.would_start()
            for name in wanted:
                events.emit("step", step=step(name, "would be started", seconds=0.0), changed=True)
            return {"changed": bool(wanted), "started": []}
        steps: list[dict[str, Any]] = []
        waiting = engine.services()
        events.emit("task", name=f"Wait for {', '.join(waiting)}")
        for started in engine.start(options.timeout):
            steps.append({**started.to_step(), "changed": started.changed})
            events.emit("step", step=started.to_step(), changed=started.changed)
            waiting.remove(started.name)
            events.emit("task", name=f"Wait for {', '.join(waiting)}")
        return {"changed": any(each["changed"] for each in steps), "started": steps}
