"""See library/release_resume.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand.ansible.action import step
from stackhand.release import submit
from stackhand.release.action import ReleaseAction, manifest_of
from stackhand.release.target import Context


class ActionModule(ReleaseAction):
    """Goes on waiting for a release that was left rolling."""

    options = frozenset({"environment", "manifest", "token", "pace"})
    words = "The rollout"

    def release(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the release, rolled out."""
        found = submit.resume(context, manifest_of(arguments), context.releases.current())
        words = f"{', '.join(found.services)} on {found.commit[:12]}"
        return {"changed": True, "manifest": found.to_dict(), "step": step("rolled", words)}
