"""Who changes an environment: logged in, to the account that its file names, and in which CI run."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from stackhand.aws import credentials, errors
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
            f"You are logged in to account {who['Account']}, but {environment.name} belongs to {environment.account}.",
            evidence=[f"you are {who['Arn']}", f"by {credentials.source()}"],
            next=f"log in to {environment.account}, or fix account_id in environments/{environment.name}.tfvars",
            code=ExitCode.PREFLIGHT,
        )
    return str(who["Arn"])


def timestamp() -> str:
    """Return the present time as releases write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def owner() -> str:
    """Return who we are, for other people."""
    import socket

    actor = os.environ.get("GITHUB_ACTOR")
    return f"{actor} (GitHub Actions)" if actor else f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's account may have no name; which error it is depends on Python
        return f"uid {os.getuid()}"


def run_url() -> str:
    """Return the address of the CI run we are; nothing elsewhere."""
    parts = [os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")]
    return f"{parts[0]}/{parts[1]}/actions/runs/{parts[2]}" if all(parts) else ""
