"""Have the bucket for the state, the lease and the releases.

It is versioned, encrypted, closed to the public and to everything but TLS. One that forgets versions is refused.
"""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import Action, step
from stackhand.infrastructure import account, bucket
from stackhand.project import environments
from stackhand.release.options import OnEnvironment


class ActionModule(Action):
    """Has the bucket that everything of an environment begins with."""

    Options = OnEnvironment

    def act(self, options: OnEnvironment, *, check: bool) -> dict[str, Any]:
        """Make the bucket, or find it made."""
        environment = environments.load(options.environment)
        account.check(environment)
        if check:
            return {"changed": not bucket.exists(environment)}
        done = bucket.make(environment)
        words = done[0] if done else f"bucket {environment.bucket} is as it has to be"
        return {"changed": bool(done), "step": step("bucket", words, notes=done[1:])}
