"""Bring the database up to date with the new code, in a task of its own, before any service is updated."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import migration
from stackhand.release.action import OfRelease, ReleaseAction
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Brings the database up to date, with the new code."""

    work = "The migration"

    def release(self, context: Context, options: OfRelease) -> dict[str, Any]:
        """Return the release, migrated."""
        names = migration.migrate(context, options.manifest)
        shown = {"step": step("migrated", f"{', '.join(names)}: exit code 0")} if names else {}
        return {"changed": bool(names), "facts": {"manifest": options.manifest.but(migrated=True).to_dict()}, **shown}
