"""See library/stack_copy.py for what this does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stackhand.ansible.action import step
from stackhand.database import copydata
from stackhand.local import engines
from stackhand.local.action import StackAction


class ActionModule(StackAction):
    """Keeps the database of the other engine, or restores it on the chosen one."""

    options = frozenset({"copied", "engine"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Return what was kept, or how the restore went."""
        if check:  # a dump needs a server that runs
            return {"changed": True, "copied": {}}
        chosen = engines.choose(str(arguments["engine"]), self.state)
        engine = self.engine(chosen.name)
        if arguments.get("copied"):
            copied = copydata.Copied(**arguments["copied"])
            notes = copydata.restore(engine, copied, self.progress)
            return {"changed": True, "step": step("data", f"the database of {copied.engine} is restored", notes=notes)}
        kept = copydata.keep(engine, self.progress)
        return {"changed": True, "copied": asdict(kept), "step": step("data", f"the database of {kept.engine} is kept")}
