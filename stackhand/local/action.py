"""What the actions of the role `stack` share, beside what all our actions do: the engine."""

from __future__ import annotations

from stackhand import ROOT
from stackhand.ansible.action import Action
from stackhand.local import engines
from stackhand.local.engines.engine import Engine
from stackhand.project import model, settings


class StackAction(Action):
    """An action on the stack of this machine."""

    def engine(self, name: str, *, check: bool = False) -> Engine:
        """Return the engine of that name with the services of now.

        Args:
            name: the engine.
            check: whether settings that are missing are only made up, and not written.
        """
        return engines.create(name, self.state, model.load(ROOT, settings.ensure(ROOT, check=check).values))
