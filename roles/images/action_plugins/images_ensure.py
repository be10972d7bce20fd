"""See library/images_ensure.py for what this does."""

from __future__ import annotations

import json
from typing import Any

from stackhand.ansible.action import Action, step
from stackhand.project import environments
from stackhand.release import images, registry


class ActionModule(Action):
    """Has the images of a release in ECR."""

    options = frozenset({"environment", "release", "commit", "name", "max_severity"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Return the digests as a fact; when only checking, those that ECR has already."""
        given = json.loads(json.dumps(arguments))  # without Ansible's tags, which no other library knows
        environment, release, commit = environments.load(given["environment"]), given["release"], given["commit"]
        before = registry.known(environment, release, commit)
        missing = [name for name in registry.repositories(release) if name not in before]
        found = before
        if not check:
            found = images.ensure(
                environment,
                release,
                commit,
                name=given["name"] or "",
                architecture=release["architecture"],
                max_severity=given["max_severity"],
                say=self.progress,
            )
        words = (
            f"built and pushed {', '.join(missing)} of {commit[:12]}" if missing else f"{commit[:12]} is in ECR already"
        )
        return {
            "changed": bool(missing),
            "ansible_facts": {"images__digests": found},
            "step": step("images", words, notes=[f"{name} {digest}" for name, digest in found.items()]),
        }
