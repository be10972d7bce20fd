"""Explain AWS's errors, in one place for all verbs (docs/decisions/036-aws-errors.md)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from stackhand.aws import credentials, network
from stackhand.aws.diagnosis import IDENTITY, Diagnosis, Kind, answer_of, code_of, message_of, names_of
from stackhand.cli.failure import ExitCode, Failure

__all__ = ["as_failure", "code_of", "diagnose", "expired", "failure", "failure_of", "message_of", "remedy", "transient"]

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
CANNOT_TELL = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotImplemented", "InvalidAction", "501"}
)
"""What AWS answers to who may not look, and an emulator to what it does not know."""
OURS = frozenset(
    {
        "MissingParametersError",
        "OperationNotPageableError",
        "ParamValidationError",
        "StubResponseError",
        "UndefinedModelAttributeError",
        "UnknownClientMethodError",
        "ValidationError",
        "WaiterConfigError",
    }
)
"""Requests that we built wrong, which no user can fix: they are reported as defects."""


class AwsFailure(Failure):
    """An error of AWS, with what fixes it apart from what is to be done then."""

    remedy = "fix that"


def diagnose(error: BaseException) -> Diagnosis:
    """Return what an error means."""
    for ask in (network.diagnose_clock, credentials.diagnose, network.diagnose, credentials.diagnose_rights):
        if (diagnosis := ask(error)) is not None:
            return diagnosis
    if transient(error):
        return Diagnosis(Kind.REFUSED, "AWS is too busy to answer", [message_of(error)], "wait a minute")
    if "WaiterError" in names_of(error) and not code_of(error):
        return Diagnosis(Kind.REFUSED, "AWS did not get that far", [message_of(error)], "check its state")
    sentence = "AWS refused" if answer_of(error) else "AWS did not answer"
    return Diagnosis(Kind.REFUSED, sentence, [message_of(error)])


def failure(
    what: str,
    error: BaseException,
    code: ExitCode | None = None,
    *,
    repeat: str = "repeat the command",
    evidence: Sequence[str] = (),
) -> Failure:
    """Return an error of AWS as a failure.

    Args:
        what: failed, as the beginning of a sentence; may be empty.
        error: boto3's.
        code: the exit code; without one, 3 when nothing can be asked of AWS before it is fixed, and 1 otherwise.
        repeat: what to do once that is fixed.
        evidence: lines to show before AWS's own message.
    """
    diagnosis = diagnose(error)
    made = AwsFailure(
        f"{what}: {diagnosis.sentence}." if what else diagnosis.alone,
        evidence=[*evidence, *diagnosis.evidence],
        next=f"{diagnosis.remedy}, then {repeat}",
        code=code or (ExitCode.FAILED if diagnosis.kind is Kind.REFUSED else ExitCode.PREFLIGHT),
    )
    made.remedy = diagnosis.remedy
    return made


def failure_of(error: BaseException, what: str = "") -> Failure | None:
    """Return an error that nobody caught as a failure; None when it is not AWS's, or a mistake of ours."""
    names = set(names_of(error))
    if not names or (names & OURS and "InvalidRegionError" not in names):
        return None
    return failure(what, error)


@contextmanager
def as_failure(what: str = "", code: ExitCode | None = None, *, repeat: str = "repeat the command") -> Iterator[None]:
    """Turn AWS's errors into a failure that names what was attempted."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise failure(what, error, code, repeat=repeat) from error


def remedy(failure: Failure) -> str:
    """Return what fixes a failure, without the command to repeat then."""
    return failure.remedy if isinstance(failure, AwsFailure) else AwsFailure.remedy


def transient(error: BaseException) -> bool:
    """Whether asking again later may help: AWS is busy, or the network is away."""
    status = answer_of(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    away = {"HTTPClientError", "ConnectionError"} & set(names_of(error))
    return bool(away) or code_of(error) in THROTTLED or status >= 500  # noqa: PLR2004 - HTTP


def expired(error: BaseException) -> bool:
    """Whether AWS does not know us, or not any more: no credentials, an expired session, a wrong clock."""
    return diagnose(error).kind in IDENTITY
