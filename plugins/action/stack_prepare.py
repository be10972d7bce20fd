"""Have what the services need before they start.

On embedded, render the programs of docker-compose.yml below .stackhand, and have a supervisor. On compose, pull and
build images, and make the database of an old volume follow .env.
"""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.local.action import OnEngine, StackAction


class ActionModule(StackAction):
    """Has what the services need before they start."""

    Options = OnEngine

    def act(self, options: OnEngine, *, check: bool) -> Result:
        """Prepare the engine."""
        engine = self.engine(options.engine, check=check)
        if check:
            return Result(changed=engine.would_prepare())
        changed, done = engine.prepare(self.progress)
        return Result(changed=changed, step=StepReport("prepared", done[0], notes=done[1:]) if done else None)
