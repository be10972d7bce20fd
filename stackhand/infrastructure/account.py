"""Whether we are who may change an environment: logged in, and to the account that its file names."""

from __future__ import annotations

from stackhand.aws import errors, profiles
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment


def check(environment: Environment) -> str:
    """Return the ARN of who we are.

    Raises:
        Failure: nobody, nobody AWS knows, or somebody of another account.
    """
    with errors.as_failure():
        who = environment.client("sts").get_caller_identity()
    if who["Account"] != environment.account:
        raise Failure(
            f"You are logged in to account {who['Account']}, and {environment.name} belongs to {environment.account}.",
            evidence=[f"you are {who['Arn']}", f"by {profiles.source()}"],
            next=f"log in to {environment.account}, or correct account_id in "
            f"terraform/environments/{environment.name}.tfvars",
            code=ExitCode.PREFLIGHT,
        )
    return str(who["Arn"])
