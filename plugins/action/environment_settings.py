"""Make .env from an .env.example, with generated secrets, or complete it; never overwrite a value."""

from __future__ import annotations

from stackhand import redaction
from stackhand.ansible.action import Action, Result, StepOptions
from stackhand.cli.reporter import StepReport
from stackhand.project import settings
from stackhand.system.roots import PROJECT


class ActionModule(Action):
    """Makes or completes .env."""

    def act(self, options: StepOptions, *, check: bool) -> Result:  # noqa: ARG002 - has no options
        """Have valid settings."""
        current = settings.ensure(PROJECT, check=check)
        if not check:
            redaction.remember()
        message, *notes = current.notes or [settings.summary(PROJECT, current)]
        return Result(changed=current.changed, step=StepReport("settings", message, notes=notes))
