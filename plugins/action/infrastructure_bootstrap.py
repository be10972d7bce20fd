"""Have the bucket for the state, the lease and the releases, and the key that signs images.

It is versioned, encrypted, closed to the public and to everything but TLS. One that forgets versions is refused.
The key is in KMS; its public half is written into environments, to be committed.
"""

from __future__ import annotations

from stackhand.ansible.action import Action, Result
from stackhand.cli.reporter import StepReport
from stackhand.infrastructure import account, bucket, signing_key
from stackhand.project import environments
from stackhand.release.action import OnEnvironment


class ActionModule(Action):
    """Has the bucket that everything of an environment begins with, and the key that signs its images."""

    Options = OnEnvironment

    def act(self, options: OnEnvironment, *, check: bool) -> Result:
        """Make bucket and key, or find them made."""
        environment = environments.load(options.environment)
        environments.require_apart(environment)
        account.check(environment)
        if check:
            return Result(changed=not bucket.exists(environment))
        done = bucket.make(environment) + signing_key.make(environment)
        message = done[0] if done else f"bucket {environment.bucket} is configured"
        return Result(changed=bool(done), step=StepReport("bucket", message, notes=done[1:]))
