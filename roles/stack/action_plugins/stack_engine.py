"""See library/stack_engine.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.local import engines, otherengine, preflight
from stackhand.local.action import StackAction


class ActionModule(StackAction):
    """Chooses the engine and has the ports free."""

    options = frozenset({"engine", "free_ports", "copy_data"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Return the engine's name and the services it will start."""
        chosen = engines.choose(str(arguments.get("engine", "auto")), self.state)
        preflight.no_other_engine(chosen.name, self.state)
        engine = self.engine(chosen.name, check=check)
        preflight.no_other_name(engine)
        notes = [f"left out, for it has no x-embedded: {name}" for name in engine.left_out()]
        notes += otherengine.notes(engine, copying=bool(arguments.get("copy_data")))
        moved = preflight.ports(engine, free=bool(arguments.get("free_ports")), check=check)
        if moved:
            numbers = ", ".join(f"{key} {port}" for key, port in moved.items())
            notes.append(f"ports moved, and kept in .env: {numbers}")
            engine = self.engine(chosen.name, check=check)
        return {
            "changed": bool(moved),
            "engine": chosen.name,
            "step": step("engine", f"{chosen.name}: {chosen.reason}", notes=notes),
        }
