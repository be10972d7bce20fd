"""See library/release_return.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import rollback
from stackhand.release.action import ReleaseAction, manifest_of
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Prepares the return to an earlier release."""

    options = frozenset({"environment", "manifest", "token"})
    words = "The rollback"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the release that brings an earlier one back."""
        context.require_lease()
        good = manifest_of(arguments)
        found = rollback.prepare(context, good)
        words = f"back to {good.commit[:12]}, the release {good.id}"
        return {"changed": False, "manifest": found.to_dict(), "step": step("prepared", words)}
