"""Find out what would stop Terraform, before it starts.

That is `x-aws` in docker-compose.yml, Terraform and its version, the account one is logged in to, the bucket. It notes
which keys of docker-compose.yml AWS ignores or does otherwise.
"""

from __future__ import annotations

from stackhand.ansible.action import Action, Result
from stackhand.cli.reporter import StepReport
from stackhand.infrastructure import account, bucket, secrets
from stackhand.infrastructure.services import compose, differences, services
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project import environments
from stackhand.release.action import OnEnvironment
from stackhand.system.roots import PROJECT


class ActionModule(Action):
    """Finds out what would stop Terraform, before it starts, and what AWS does otherwise than Compose."""

    Options = OnEnvironment

    def act(self, options: OnEnvironment, *, check: bool) -> Result:  # noqa: ARG002 - it changes nothing
        """Check; it changes nothing."""
        environment = environments.load(options.environment)
        environments.require_apart(environment)
        stack = compose.check(PROJECT, services.variables_of(environment))
        secrets.check(environment)
        version = Terraform(environment).version()
        who = account.check(environment)
        bucket.require(environment)
        there = sum(service.aws is not None for service in stack.services.values())
        message = f"{there} services for the cloud, account {environment.account}, Terraform {version}"
        return Result(
            changed=False,
            step=StepReport("checked", message, notes=[f"as {who}", *differences.lines(differences.notes(stack))]),
        )
