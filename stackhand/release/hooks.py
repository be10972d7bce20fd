"""What the project's hooks are told of a deploy or a rollback, before it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackhand.project import environments
from stackhand.project.hooks import HookFacts, Hooks
from stackhand.release.images import source


def of(playbook: str, options: Mapping[str, Any], *, skip: bool = False, again: str = "") -> Hooks:
    """Return the hooks around a playbook.

    Args:
        playbook: deploy, resume or rollback.
        options: of its steps, by their names without a prefix.
        skip: whether the user wants none.
        again: how to repeat it without hooks; by default the verb.

    Raises:
        Failure: there is no such environment.
    """
    environment = environments.load(str(options["environment"]))
    verb = "rollback" if playbook == "rollback" else "deploy"
    facts = HookFacts(
        verb,
        environment.stack,
        environment=environment.name,
        tag=str(options.get("tag") or ""),
        to=str(options.get("to") or ""),
    )
    if playbook == "deploy":
        facts.commit = source.expected(facts.tag)
    again = again or f"./inv {verb} -e {environment.name} --skip-hooks"
    return Hooks("deploy", facts, again, skip=skip, resumed=playbook == "resume")
