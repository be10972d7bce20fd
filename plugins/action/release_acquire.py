"""Check who we are and what is to be released, and take the lease of the environment.

A process of its own renews the lease until this playbook ends, however it ends.
"""

from __future__ import annotations

from stackhand.ansible.action import Result
from stackhand.cli.reporter import StepReport
from stackhand.release.action import ReleaseAction
from stackhand.release.context import Context
from stackhand.release.stages import acquire


class ActionModule(ReleaseAction):
    """Takes the lease, and sets the facts `kind`, `commit`, `name`, `token`, `heartbeat` and `manifest`."""

    Options = acquire.Request
    work = "The lease"

    def release(self, context: Context, options: acquire.Request) -> Result:
        """Return the commit, the lease and the release to go on with."""
        acquired = acquire.begin(context, options)
        facts = {
            "kind": options.kind,
            "commit": acquired.commit,
            "name": acquired.name,
            "token": acquired.token,
            "heartbeat": acquired.heartbeat,
            "manifest": acquired.manifest or {},
        }
        message = f"{context.environment.name} in {context.environment.account}: {acquired.commit[:12]}"
        return Result(changed=False, step=StepReport("lease", message), facts=facts)
