"""Whether we are who may change an environment: logged in, and to the account that its file names."""

from __future__ import annotations

from stackhand.environments import Environment
from stackhand.failure import ExitCode, Failure

LOG_IN = "log in (aws sso login, or AWS_PROFILE=...), then repeat the command"


def check(environment: Environment) -> str:
    """Return the ARN of who we are.

    Raises:
        Failure: nobody, nobody AWS knows, or somebody of another account.
    """
    client = environment.client("sts")
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        who = client.get_caller_identity()
    except NoCredentialsError as error:
        raise Failure("There are no credentials for AWS.", next=LOG_IN, code=ExitCode.PREFLIGHT) from error
    except ClientError as error:
        said = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
        raise Failure(
            "AWS does not accept your credentials.", evidence=[said], next=LOG_IN, code=ExitCode.PREFLIGHT
        ) from error
    except BotoCoreError as error:
        raise Failure(
            "AWS cannot be reached.",
            evidence=[str(error)],
            next="look at the network and AWS_PROFILE, then repeat the command",
            code=ExitCode.PREFLIGHT,
        ) from error
    if who["Account"] != environment.account:
        raise Failure(
            f"You are logged in to account {who['Account']}, and {environment.name} belongs to {environment.account}.",
            evidence=[f"you are {who['Arn']}"],
            next=f"log in to {environment.account}, or correct account_id in "
            f"terraform/environments/{environment.name}.tfvars",
            code=ExitCode.PREFLIGHT,
        )
    return str(who["Arn"])
