"""Choose the engine, and have the ports free.

It returns the engine's name.
"""

from __future__ import annotations

from typing import Literal

from stackhand.ansible.action import Result, StepOptions
from stackhand.cli.reporter import StepReport
from stackhand.local import engines, otherengine, preflight
from stackhand.local.action import StackAction


class EngineResult(Result, kw_only=True):
    """The result, with the engine's name."""

    engine: str


class ActionModule(StackAction):
    """Chooses the engine and has the ports free."""

    class Options(StepOptions):
        """Its options.

        Args:
            engine: what runs the services; `auto` takes that of before, or Compose where Docker answers.
            free_ports: move all ports to a free block, and keep it in .env, when one of them is taken.
            copy_data: the database of the other engine is copied, and needs no mention.
        """

        engine: Literal["auto", "compose", "embedded"] = "auto"
        free_ports: bool = False
        copy_data: bool = False

    def act(self, options: Options, *, check: bool) -> Result:
        """Return the engine's name and the services it will start."""
        chosen = engines.choose(options.engine, self.state)
        preflight.no_other_engine(chosen.name, self.state)
        engine = self.engine(chosen.name, check=check)
        preflight.no_other_name(engine)
        preflight.require_any(engine)
        notes = preflight.unsupported(engine) + preflight.scheduled(engine)
        notes += otherengine.notes(engine, copying=options.copy_data)
        moved = preflight.ports(engine, free=options.free_ports, check=check)
        if moved:
            numbers = ", ".join(f"{key} {port}" for key, port in moved.items())
            notes.append(f"ports moved and stored in .env: {numbers}")
            engine = self.engine(chosen.name, check=check)
        notes += preflight.open_ports(engine)
        return EngineResult(
            changed=bool(moved),
            engine=chosen.name,
            step=StepReport("engine", f"{chosen.name}: {chosen.reason}", notes=notes),
        )
