"""What boto3's errors mean: every class that botocore has is a sentence of ours, in every verb and action."""

from __future__ import annotations

import ast
import string
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase
from botocore import exceptions
from invoke.context import Context
from invoke.exceptions import Exit

from stackhand.ansible.action import Action, Result
from stackhand.aws import errors
from stackhand.aws.diagnosis import Kind
from stackhand.cli.failure import ExitCode, Failure
from stackhand.tasks.verb import Verb
from tests.checkout import ROOT

CREDENTIALS = {
    *(
        "ConfigNotFound",
        "ConfigParseError",
        "CredentialRetrievalError",
        "InfiniteLoopConfigError",
        "InvalidConfigError",
    ),
    *("InvalidIMDSEndpointError", "InvalidIMDSEndpointModeError", "LoginAuthorizationCodeError", "LoginError"),
    *("LoginInsufficientPermissions", "LoginRefreshRequired", "LoginTokenLoadError", "MetadataRetrievalError"),
    *("MissingDependencyException", "NoAuthTokenError", "NoCredentialsError", "PartialCredentialsError"),
    *("ProfileNotFound", "RefreshWithMFAUnsupportedError", "SSOError", "SSOTokenLoadError", "TokenRetrievalError"),
    *("UnauthorizedSSOTokenError", "UnknownCredentialError", "UnknownTokenProviderError"),
}
REACHABILITY = {
    *("BaseEndpointResolverError", "ConnectTimeoutError", "ConnectionClosedError", "ConnectionError"),
    *("EndpointConnectionError", "EndpointProviderError", "EndpointResolutionError", "EndpointVariantError"),
    *("HTTPClientError", "IncompleteReadError", "InvalidDefaultsMode", "InvalidEndpointConfigurationError"),
    *("InvalidProxiesConfigError", "InvalidRegionError", "InvalidS3UsEast1RegionalEndpointConfigError"),
    *("InvalidSTSRegionalEndpointsConfigError", "NoRegionError", "ProxyConnectionError", "ReadTimeoutError"),
    *("ResponseStreamingError", "SSLError", "ServiceNotInRegionError", "UnknownEndpointError"),
    *("UnknownEndpointResolutionBuiltInName", "UnknownFIPSEndpointError", "UnknownRegionError"),
}
ANSWERS = {"ClientError", "EventStreamError", "WaiterError"}
"""Those that have an answer of AWS, whose code decides."""
MISTAKES = {
    *("AliasConflictParameterError", "MissingParametersError", "OperationNotPageableError", "ParamValidationError"),
    *("MissingServiceIdError", "RangeError", "StubAssertionError", "StubResponseError", "UnStubbedResponseError"),
    *("UndefinedModelAttributeError", "UnknownClientMethodError", "UnknownKeyError", "UnknownParameterError"),
    *("ValidationError", "WaiterConfigError"),
}
"""Requests that were built wrong: nobody but us can fix those."""
OTHERS = {
    *("ApiVersionNotFoundError", "AwsChunkedWrapperError", "BotoCoreError", "CapacityNotAvailableError"),
    *("ChecksumError", "DataNotFoundError", "FlexibleChecksumError", "InvalidChecksumConfigError"),
    *("InvalidDNSNameError", "InvalidEndpointDiscoveryConfigurationError", "InvalidExpressionError"),
    *("InvalidHostLabelError", "InvalidMaxRetryAttemptsError", "InvalidRetryConfigurationError"),
    *("InvalidRetryModeError", "InvalidS3AddressingStyleError", "MD5UnavailableError", "PaginationError"),
    *("UnknownServiceError", "UnknownServiceStyle"),
    *("UnknownSignatureVersionError", "UnseekableStreamError", "UnsupportedOutpostResourceError"),
    *("UnsupportedS3AccesspointConfigurationError", "UnsupportedS3ArnError", "UnsupportedS3ConfigurationError"),
    *("UnsupportedS3ControlArnError", "UnsupportedS3ControlConfigurationError", "UnsupportedServiceProtocolsError"),
    "UnsupportedSignatureVersionError",
}


def classes() -> dict[str, type[Exception]]:
    found = {name: each for name, each in vars(exceptions).items() if isinstance(each, type)}
    return {
        name: each
        for name, each in found.items()
        if issubclass(each, Exception) and not issubclass(each, Warning) and each.__module__ == exceptions.__name__
    }


def made(name: str) -> Exception:
    """Return an error of a class as botocore would make it, with its fields filled in."""
    cls = classes()[name]
    if issubclass(cls, exceptions.ClientError):
        return cls({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetParameters")  # type: ignore[arg-type]
    if name == "WaiterError":
        return exceptions.WaiterError("x", "timeout", {})  # type: ignore[no-untyped-call]
    fields = [each for _, each, _, _ in string.Formatter().parse(getattr(cls, "fmt", "")) if each]
    return cls(**dict.fromkeys(fields, "x"))


def answer(code: str, message: str = "no", operation: str = "X", **more: Any) -> exceptions.ClientError:
    metadata = {"HTTPStatusCode": 400, **more}
    return exceptions.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, operation
    )  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


def test_every_class_of_botocore_belongs_to_a_family() -> None:
    families = (CREDENTIALS, REACHABILITY, ANSWERS, MISTAKES, OTHERS)
    assert sorted(name for family in families for name in family) == sorted(classes())


@pytest.mark.parametrize("name", sorted(CREDENTIALS | REACHABILITY))
def test_credentials_and_reachability_have_a_sentence_each_and_code_3(name: str) -> None:
    found = errors.failure_of(made(name))
    identity = {Kind.NO_CREDENTIALS, Kind.UNKNOWN_PROFILE, Kind.EXPIRED, Kind.CLOCK}
    assert errors.diagnose(made(name)).kind in (identity if name in CREDENTIALS else {Kind.NETWORK})
    assert found is not None
    assert found.code == ExitCode.PREFLIGHT
    assert "refused" not in found.what
    assert found.next.endswith(", then repeat the command")
    assert found.evidence


@pytest.mark.parametrize("name", sorted(classes()))
def test_unexpected_aws_error_is_a_failure_everywhere(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stackhand.cli.console.defect", lambda *_: Failure("This is a bug in Stackhand"))
    ours = name in MISTAKES

    def fail(_context: Context) -> None:
        raise made(name)

    with pytest.raises(Exit) as end:
        Verb(fail)(Context())
    shown = capsys.readouterr().err
    assert ("bug in Stackhand" in shown) == ours, shown
    assert end.value.code in {1, 3}
    failed = acted(made(name), monkeypatch)
    assert ("bug in Stackhand" in failed["what"]) == ours
    assert failed["code"] == end.value.code


def acted(error: Exception, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the failure of an action that meets an error."""

    class Failing(Action):
        def act(self, *_: Any, **__: Any) -> Result:
            raise error

    monkeypatch.setattr(ActionBase, "run", lambda *_: {})
    action = Failing.__new__(Failing)
    action._task = SimpleNamespace(args={}, check_mode=False, action="failing")
    return dict(action.run()["failure"])


def test_nothing_else_makes_a_client_of_aws() -> None:
    places = [*(ROOT / "stackhand").rglob("*.py"), *(ROOT / "roles").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    for path in places:
        if path.parent.name != "aws":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [each.name for each in getattr(node, "names", [])] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not {"boto3", "botocore.session"} & set(names), path


@pytest.mark.parametrize(
    ("minutes", "error", "words"),
    [
        (37, answer("SignatureDoesNotMatch", "Signature not yet current: ..."), "is 37 minutes ahead of AWS's"),
        (-300, answer("RequestTimeTooSkewed", "The difference is too large."), "is 5 hours behind AWS's"),
        (20, answer("InvalidClientTokenId"), "is 20 minutes ahead of AWS's"),
        (0, answer("RequestTimeTooSkewed"), "differs from AWS's"),
        (
            None,
            answer(
                "InvalidSignatureException",
                "Signature expired: 20260131T120000Z is now earlier than 20260131T123500Z (20260131T124000Z - 5 min.)",
            ),
            "is 40 minutes behind AWS's",
        ),
    ],
)
def test_a_wrong_clock_is_told_with_its_difference(
    minutes: int | None, error: exceptions.ClientError, words: str
) -> None:
    if minutes is not None:
        date = format_datetime(datetime.now(UTC) - timedelta(minutes=minutes), usegmt=True)
        error.response["ResponseMetadata"]["HTTPHeaders"] = {"date": date}
    found = errors.failure("The bucket cannot be used", error)
    assert found.what == f"The bucket cannot be used: this machine's clock {words}."
    assert (found.code, "set the clock" in found.next) == (ExitCode.PREFLIGHT, True)
    assert errors.expired(error)


def test_keys_that_aws_does_not_know_are_no_wrong_clock() -> None:
    date = format_datetime(datetime.now(UTC) - timedelta(minutes=3), usegmt=True)
    error = answer("InvalidClientTokenId", HTTPHeaders={"date": date})
    assert errors.diagnose(error).kind is Kind.NO_CREDENTIALS
    assert "does not accept" in errors.failure("", error).what


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            answer(
                "AccessDenied",
                "User: arn:aws:sts::1:assumed-role/deployer/ann is not authorized to perform: s3:CreateBucket on "
                'resource: "arn:aws:s3:::x" because no identity-based policy allows the s3:CreateBucket action',
                "CreateBucket",
            ),
            "s3:CreateBucket to the role deployer",
        ),
        (
            answer(
                "UnauthorizedOperation",
                "You are not authorized to perform this. User: arn:aws:iam::1:user/ci/bob is not authorized to "
                "perform: ec2:DescribeSubnets because of an explicit deny in a service control policy",
            ),
            "ec2:DescribeSubnets to the user ci/bob",
        ),
        (answer("403", "Forbidden", "HeadBucket", Service="s3"), "s3:ListBucket"),
        (answer("AccessDeniedException", "no", "DescribeImages", Service="ecr"), "ecr:DescribeImages"),
    ],
)
def test_what_aws_does_not_allow_is_told_by_the_right_that_is_missing(
    error: exceptions.ClientError, words: str
) -> None:
    found = errors.failure("It failed", error)
    assert (found.what, found.code) == (f"It failed: AWS does not allow {words}.", ExitCode.PREFLIGHT)
    permission = words.split(maxsplit=1)[0]
    denied = f"remove {permission} from the service control policy"
    assert (denied if "explicit deny" in str(error) else f"grant {permission} to ") in found.next
    assert not errors.expired(error)


@pytest.mark.parametrize(
    ("cause", "kind", "next_step"),
    [
        (EOFError(), Kind.NO_CREDENTIALS, "type its code here: eval "),
        (
            RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
            Kind.EXPIRED,
            "",
        ),
        (answer("ExpiredToken", operation="AssumeRole"), Kind.EXPIRED, ""),
        (answer("RequestTimeTooSkewed", operation="AssumeRole"), Kind.CLOCK, "set the clock"),
        (answer("AccessDenied", operation="AssumeRole"), Kind.NO_CREDENTIALS, "add yourself to its trust policy"),
    ],
)
def test_what_went_wrong_on_the_way_to_credentials_is_found(cause: Exception, kind: Kind, next_step: str) -> None:
    error = exceptions.CredentialRetrievalError(provider="assume-role", error_msg=str(cause))  # type: ignore[no-untyped-call]
    error.__cause__ = cause
    assert errors.diagnose(error).kind is kind
    assert errors.failure("", error).next.startswith(next_step)


def test_a_token_of_a_job_that_a_role_does_not_take_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/ci")
    kwargs = {"provider": "assume-role-with-web-identity", "error_msg": "no"}
    error = exceptions.CredentialRetrievalError(**kwargs)  # type: ignore[no-untyped-call]
    error.__cause__ = answer("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    found = errors.failure("", error)
    assert found.what == "AWS refuses this job's token for the role ci."
    assert "repository, branch, environment" in found.next


def test_a_remedy_is_the_next_step_without_what_to_repeat() -> None:
    found = errors.failure("", exceptions.UnauthorizedSSOTokenError())  # type: ignore[no-untyped-call]
    assert errors.remedy(found) == "aws configure sso, or AWS_PROFILE=NAME of a profile you have"
    assert errors.remedy(Failure("x", next="look")) == "fix that"
