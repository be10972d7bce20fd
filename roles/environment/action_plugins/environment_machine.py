"""See library/environment_machine.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand import ROOT
from stackhand.ansible.action import Action, step
from stackhand.local import machine


class ActionModule(Action):
    """Checks this machine."""

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:  # noqa: ARG002 - reads only
        """Refuse a machine that cannot run the stack."""
        return {"changed": False, "step": step("machine", machine.require(ROOT))}
