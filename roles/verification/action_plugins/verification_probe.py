"""See library/verification_probe.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import verification
from stackhand.release.action import ReleaseAction, manifest_of
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Asks the release through the load balancer, and takes it back when it does not answer well."""

    options = frozenset({"environment", "manifest", "token", "pace"})
    words = "The probe"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Probe."""
        return {"changed": False, "step": step("probed", verification.probe(context, manifest_of(arguments)))}
