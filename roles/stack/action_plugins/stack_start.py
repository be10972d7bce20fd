"""See library/stack_start.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.local.action import StackAction


class ActionModule(StackAction):
    """Starts the services and waits until they can be used."""

    options = frozenset({"engine", "timeout"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Return how each start went."""
        engine = self.engine(str(arguments["engine"]), check=check)
        if check:
            steps = [step(name, "would be started", seconds=0.0, changed=True) for name in engine.would_start()]
            return {"changed": bool(steps), "started": [], "steps": steps}
        steps: list[dict[str, Any]] = []
        waiting = engine.services()
        self.tell_task(f"Wait for {', '.join(waiting)}")
        for started in engine.start(float(arguments["timeout"])):
            steps.append({**started.to_step(), "changed": started.changed})
            self.tell_step(started.to_step(), changed=started.changed)
            waiting.remove(started.name)
            self.tell_task(f"Wait for {', '.join(waiting)}")
        shown = {} if self.told_at_once else {"steps": steps}
        return {"changed": any(each["changed"] for each in steps), "started": steps, **shown}
