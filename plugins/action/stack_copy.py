"""Copy the database from the other engine, in two steps.

Without `copied`, stop what runs on either engine, and keep the database of the other one as a snapshot. With it, start
PostgreSQL on the engine, and restore that snapshot; what was there is kept as another one.
"""

from __future__ import annotations

from stackhand.ansible.action import Result, StepOptions
from stackhand.cli.reporter import StepReport
from stackhand.database import copydata
from stackhand.local import engines
from stackhand.local.action import StackAction


class CopyResult(Result, kw_only=True):
    """The result of the first step.

    Args:
        copied: what the second one restores; None in check mode.
    """

    copied: copydata.Copied | None


class ActionModule(StackAction):
    """Keeps the database of the other engine, or restores it on the chosen one."""

    class Options(StepOptions):
        """Its options.

        Args:
            engine: the one that the database is copied to, or auto.
            copied: what the first step returned.
        """

        engine: str = "auto"
        copied: copydata.Copied | None = None

    def act(self, options: Options, *, check: bool) -> Result:
        """Return what was kept, or how the restore went."""
        if check:  # a dump needs a server that runs
            return CopyResult(changed=True, copied=None)
        chosen = engines.choose(options.engine, self.state)
        engine = self.engine(chosen.name)
        if copied := options.copied:
            notes = copydata.restore(engine, copied, self.progress)
            return Result(
                changed=True, step=StepReport("data", f"restored the database from {copied.engine}", notes=notes)
            )
        kept = copydata.keep(engine, self.progress)
        return CopyResult(changed=True, copied=kept, step=StepReport("data", f"saved the database of {kept.engine}"))
