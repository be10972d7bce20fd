"""See library/preflight_lease.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import acquire
from stackhand.release.action import ReleaseAction
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Checks who and what, and takes the lease."""

    options = frozenset({"environment", "state", "tag", "dirty", "allow_older", "lock_wait", "to"})
    words = "The lease"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the commit, the lease and the release to go on with."""
        found = acquire.begin(context, arguments)
        words = f"{context.environment.name} in {context.environment.account}: {found['commit'][:12]}"
        return {"changed": False, "step": step("lease", words), **found}
