"""Check that this machine can run the stack."""

from __future__ import annotations

from stackhand.ansible.action import Action, Result, StepOptions
from stackhand.cli.reporter import StepReport
from stackhand.local import preflight
from stackhand.system.roots import PROJECT


class ActionModule(Action):
    """Checks this machine."""

    def act(self, options: StepOptions, *, check: bool) -> Result:  # noqa: ARG002 - reads only
        """Refuse a machine that cannot run the stack."""
        return Result(changed=False, step=StepReport("machine", preflight.machine(PROJECT)))
