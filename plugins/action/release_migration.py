"""Bring the database up to date with the new code, in a task of its own, before any service is updated."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import migration
from stackhand.release.action import OfRelease, ReleaseAction
from stackhand.release.context import Context

SHOWN = 5
"""How many of its last lines a job shows that has ended well; CloudWatch has all of them."""


class ActionModule(ReleaseAction):
    """Brings the database up to date, with the new code."""

    work = "The migration"

    def release(self, context: Context, options: OfRelease) -> dict[str, Any]:
        """Return the release, migrated."""
        said = migration.migrate(context, options.manifest)
        notes = [f"{name}: {line}" for name, lines in said.items() for line in lines[-SHOWN:]]
        shown = {"step": step("migrated", f"{', '.join(said)}: exit code 0", notes=notes)} if said else {}
        return {"changed": bool(said), "facts": {"manifest": options.manifest.but(migrated=True).to_dict()}, **shown}
