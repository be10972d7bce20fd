"""See library/infrastructure_check.py for what this does."""

from __future__ import annotations

from typing import Any

from stackhand import ROOT
from stackhand.ansible.action import Action, step
from stackhand.infrastructure import account, bucket, compose, differences, secrets
from stackhand.infrastructure.terraform import Terraform
from stackhand.project import environments


class ActionModule(Action):
    """Finds out what would stop Terraform, before it starts, and what AWS does otherwise than Compose."""

    options = frozenset({"environment"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:  # noqa: ARG002 - it changes nothing
        """Check; it changes nothing."""
        environment = environments.load(str(arguments["environment"]))
        stack = compose.check(ROOT)
        secrets.check(environment)
        version = Terraform(environment).version()
        who = account.check(environment)
        bucket.require(environment)
        there = sum(service.aws is not None for service in stack.services.values())
        words = f"{there} services for the cloud, account {environment.account}, Terraform {version}"
        return {
            "changed": False,
            "step": step("checked", words, notes=[f"as {who}", *differences.lines(differences.notes(stack))]),
        }
