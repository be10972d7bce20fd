"""See library/release_migrate.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import migration
from stackhand.release.action import ReleaseAction, manifest_of
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Brings the database up to date, with the new code."""

    options = frozenset({"environment", "manifest", "token", "pace"})
    words = "The migration"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the release, migrated."""
        found = manifest_of(arguments)
        names = migration.migrate(context, found)
        shown = {"step": step("migrated", f"{', '.join(names)}: exit code 0")} if names else {}
        return {"changed": bool(names), "manifest": found.but(migrated=True).to_dict(), **shown}
