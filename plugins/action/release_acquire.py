"""Check who we are and what is to be released, and take the lease of the environment.

A process of its own renews the lease until this playbook ends, however it ends.
"""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import acquire
from stackhand.release.action import ReleaseAction
from stackhand.release.context import Context


class ActionModule(ReleaseAction):
    """Takes the lease, and sets the facts `kind`, `commit`, `name`, `token`, `heartbeat` and `manifest`."""

    Options = acquire.Request
    work = "The lease"

    def release(self, context: Context, options: acquire.Request) -> dict[str, Any]:
        """Return the commit, the lease and the release to go on with."""
        acquired = acquire.begin(context, options)
        lease = acquired["lease"]
        facts = {name: acquired[name] for name in ("commit", "name", "manifest")}
        facts |= {"kind": options.kind, "token": lease["token"], "heartbeat": lease["heartbeat"]}
        message = f"{context.environment.name} in {context.environment.account}: {acquired['commit'][:12]}"
        return {"changed": False, "step": step("lease", message), "facts": facts}
