"""What the steps of the role `stack` share, beside what all our steps do: the engine."""

from __future__ import annotations

from functools import lru_cache

from stackhand.ansible.action import Action, StepOptions
from stackhand.local import engines
from stackhand.local.engines.engine import Engine
from stackhand.project import settings
from stackhand.project.stack import loading
from stackhand.project.stack.model import Stack
from stackhand.system.roots import PROJECT


class OnEngine(StepOptions):
    """Options of a step on the services.

    Args:
        engine: the one that was chosen.
    """

    engine: str


class Timed(OnEngine):
    """Options of a step that waits.

    Args:
        timeout: seconds that each service has to become healthy.
    """

    timeout: float = 120.0


class StackAction(Action):
    """A step on the stack of this machine."""

    prefix = "stack"

    def engine(self, name: str, *, check: bool = False) -> Engine:
        """Return the engine of that name, with the current services; `check` makes up missing settings, unwritten."""
        return engines.create(name, self.state, _stack(tuple(settings.ensure(PROJECT, check=check).values.items())))


@lru_cache(maxsize=1)
def _stack(values: tuple[tuple[str, str], ...]) -> Stack:
    """Return the services with these settings: all steps of one playbook see the same, read once."""
    return loading.load(PROJECT, dict(values))
