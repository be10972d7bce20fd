"""Check that this machine can run the stack."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import Action, step
from stackhand.ansible.options import Options
from stackhand.local import machine
from stackhand.system.roots import PROJECT


class ActionModule(Action):
    """Checks this machine."""

    def act(self, options: Options, *, check: bool) -> dict[str, Any]:  # noqa: ARG002 - reads only
        """Refuse a machine that cannot run the stack."""
        return {"changed": False, "step": step("machine", machine.require(PROJECT))}
