"""AWS's errors: which pass by themselves, which are nothing but expired credentials, and their sentence."""

from __future__ import annotations

from typing import Any

from stackhand.failure import ExitCode, Failure

THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "SlowDown",
        "ServerException",
        "InternalError",
        "InternalFailure",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
EXPIRED = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
    }
)


def code_of(error: BaseException) -> str:
    """Return the code in AWS's answer; empty when there was no answer."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def message_of(error: BaseException) -> str:
    """Return an error's own words, on one line."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    message = str(response.get("Error", {}).get("Message", "")) or str(error)
    code = code_of(error)
    return " ".join((f"{code}: {message}" if code else message).split())


def transient(error: BaseException) -> bool:
    """Whether asking again later may help: AWS is busy, or the network is away."""
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import HTTPClientError

    status = (getattr(error, "response", None) or {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return isinstance(error, HTTPClientError | NoConnection) or code_of(error) in THROTTLED or status >= 500  # noqa: PLR2004 - HTTP


def expired(error: BaseException) -> bool:
    """Whether AWS does not know us any more."""
    from botocore.exceptions import NoCredentialsError

    return isinstance(error, NoCredentialsError) or code_of(error) in EXPIRED


def failure(what: str, error: BaseException, code: ExitCode = ExitCode.FAILED) -> Failure:
    """Return AWS's refusal as a failure."""
    if expired(error):
        return Failure(
            f"{what}: AWS does not accept the credentials.",
            evidence=[message_of(error)],
            next="log in again (aws sso login, or new keys), then repeat the command",
            code=ExitCode.PREFLIGHT if code is ExitCode.FAILED else code,
        )
    return Failure(
        f"{what}: AWS refused.", evidence=[message_of(error)], next="mend that, then repeat the command", code=code
    )
