"""See library/infrastructure_bucket.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import Action, step
from stackhand.infrastructure import account, bucket
from stackhand.project import environments


class ActionModule(Action):
    """Has the bucket that everything of an environment begins with."""

    options = frozenset({"environment"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Make the bucket, or find it made."""
        environment = environments.load(str(arguments["environment"]))
        account.check(environment)
        if check:
            return {"changed": not bucket.exists(environment)}
        done = bucket.make(environment)
        words = done[0] if done else f"bucket {environment.bucket} is as it has to be"
        return {"changed": bool(done), "step": step("bucket", words, notes=done[1:])}
