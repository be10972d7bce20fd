"""Copy the database from the other engine, in two steps.

Without `copied`, stop what runs on either engine, and keep the database of the other one as a snapshot. With it, start
PostgreSQL on the engine, and restore that snapshot; what was there is kept as another one.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from stackhand.ansible import options
from stackhand.ansible.action import step
from stackhand.database import copydata
from stackhand.local import engines
from stackhand.local.action import StackAction


class ActionModule(StackAction):
    """Keeps the database of the other engine, or restores it on the chosen one."""

    class Options(options.Options):
        """Its options.

        Args:
            engine: the one that the database is copied to, or auto.
            copied: what the first step returned.
        """

        engine: str = "auto"
        copied: copydata.Copied | None = None

    def act(self, options: Options, *, check: bool) -> dict[str, Any]:
        """Return what was kept, or how the restore went."""
        if check:  # a dump needs a server that runs
            return {"changed": True, "copied": None}
        chosen = engines.choose(options.engine, self.state)
        engine = self.engine(chosen.name)
        if copied := options.copied:
            notes = copydata.restore(engine, copied, self.progress)
            return {"changed": True, "step": step("data", f"restored the database from {copied.engine}", notes=notes)}
        kept = copydata.keep(engine, self.progress)
        return {"changed": True, "copied": asdict(kept), "step": step("data", f"saved the database of {kept.engine}")}
