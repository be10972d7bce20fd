"""Have what the services need before they start.

On embedded, render the programs of docker-compose.yml below .stackhand, and have a supervisor. On compose, pull and
build images, and make the database of an old volume follow .env.
"""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.local.action import OnEngine, StackAction


class ActionModule(StackAction):
    """Has what the services need before they start."""

    Options = OnEngine

    def act(self, options: OnEngine, *, check: bool) -> dict[str, Any]:
        """Prepare the engine."""
        engine = self.engine(options.engine, check=check)
        if check:
            return {"changed": engine.would_prepare()}
        changed, done = engine.prepare(self.progress)
        shown = {"step": step("prepared", done[0], notes=done[1:])} if done else {}
        return {"changed": changed, **shown}
