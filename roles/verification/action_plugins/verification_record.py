"""See library/verification_record.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import heartbeat, lease, verification
from stackhand.release.action import ReleaseAction, manifest_of
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Records the release as the last known good one, and gives the lease back."""

    options = frozenset({"environment", "manifest", "token", "keeper"})
    words = "The record"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the report of the whole."""
        changed, found = verification.record(context, manifest_of(arguments))
        lease.give_back(context.store, context.token)
        heartbeat.stop(int(arguments["keeper"]))
        words = f"{found.id} is the last known good release"
        return {
            "changed": changed,
            "step": step("recorded", words),
            "report": verification.report(found, changed=changed),
        }
