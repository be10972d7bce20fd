"""What is wrong with our credentials for AWS, and what fixes it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable

from stackhand.aws.diagnosis import Diagnosis, Kind, answer_of, code_of, detail_of, message_of, names_of
from stackhand.aws.profiles import known, profile, renewal, source

EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
REJECTED = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
ASKED_FOR = frozenset({"AssumeRole", "AssumeRoleWithWebIdentity", "GetRoleCredentials"})
NAMED = re.compile(r"\b(?:AWS|REQUESTS)_[A-Z_]+\b")
WRONG = {
    "ConfigNotFound": "AWS's configuration file is not there",
    "ConfigParseError": "AWS's configuration file cannot be read",
    "InvalidConfigError": "the configuration of AWS profile {profile} is not valid",
    "InvalidIMDSEndpointError": "the address of this machine's metadata service is not valid",
    "InvalidIMDSEndpointModeError": "the address of this machine's metadata service is not valid",
    "MetadataRetrievalError": "this machine's metadata service gives no credentials",
    "MissingDependencyException": "the way in that AWS profile {profile} asks for needs a package that is not here",
    "NoAuthTokenError": "there is no token for AWS",
    "PartialCredentialsError": "the credentials are not complete",
    "UnknownCredentialError": "AWS profile {profile} names a source of credentials that does not exist",
    "UnknownTokenProviderError": "AWS profile {profile} names a source of tokens that does not exist",
}
"""Why there are no credentials, by botocore's class."""


def diagnose(error: BaseException) -> Diagnosis | None:
    """Return what is wrong with our credentials; None when an error is not about them."""
    for name in names_of(error):
        if name in DIAGNOSES:
            return DIAGNOSES[name](error)
        if name in WRONG:
            return _none(WRONG[name].format(profile=profile()), error)
    return _over(error) if code_of(error) in EXPIRED else _rejected(error) if code_of(error) in REJECTED else None


def _rejected(error: BaseException) -> Diagnosis:
    note = "AWS responds the same where a region is not enabled for the account"
    return Diagnosis(Kind.NO_CREDENTIALS, f"AWS does not accept {source()}", [message_of(error), note], renewal())


def _missing(_error: BaseException) -> Diagnosis:
    sources = f"no AWS_ACCESS_KEY_ID, nothing usable in profile {profile()}, and no role of this machine's"
    return Diagnosis(Kind.NO_CREDENTIALS, "there are no credentials for AWS", [sources], renewal())


def _not_granted(error: BaseException) -> Diagnosis:
    return _none(f"AWS profile {profile()} may not log in", error, "have signin:CreateOAuth2Token granted to you")


def _unknown(error: BaseException) -> Diagnosis:
    name, there = detail_of(error, "profile"), sorted(known())
    chosen = next((each for each in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE") if each in os.environ), "AWS_PROFILE")
    file = os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    evidence = [f"{chosen}={os.environ.get(chosen, '')}", f"profiles in {file}: {', '.join(there) or 'none'}"]
    if not name:
        return Diagnosis(Kind.UNKNOWN_PROFILE, f"{chosen} is set, and empty", evidence, f"unset {chosen}")
    remedy = f"set {chosen} to one of them" if there else f"aws configure sso --profile {shlex.quote(name)}"
    return Diagnosis(Kind.UNKNOWN_PROFILE, f"there is no AWS profile {name} on this machine", evidence, remedy)


def _over(error: BaseException) -> Diagnosis:
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("GITHUB_ACTIONS"):
        return Diagnosis(Kind.EXPIRED, "the credentials expired", [message_of(error)], renewal())
    sentence = f"the session of AWS profile {profile()} has expired, or was never begun"
    return Diagnosis(Kind.EXPIRED, sentence, [message_of(error)], renewal())


def _not_retrieved(error: BaseException) -> Diagnosis:
    """Say why credentials could not be fetched, from AWS's answer where it was asked for them."""
    cause, provider = error.__cause__, detail_of(error, "provider")
    code = code_of(cause) if cause else ""
    if code in EXPIRED or "still expired" in str(cause):
        return _over(cause or error)
    if provider == "assume-role-with-web-identity":
        return _web_identity(cause or error)
    if getattr(cause, "operation_name", "") in ASKED_FOR and cause is not None and answer_of(cause):
        remedy = "have its trust policy name who you are, or use another profile"
        return _none(f"AWS does not let profile {profile()} take its role", cause, remedy)
    if isinstance(cause, EOFError):
        remedy = f'type its code here: eval "$(aws configure export-credentials --profile {profile()} --format env)"'
        return _none(f"AWS profile {profile()} asks for a code (MFA), and nobody can type it", error, remedy)
    if provider == "custom-process":
        return _none(f"the credential_process of AWS profile {profile()} failed", error)
    return _none("there are no credentials for AWS", error)


def _web_identity(error: BaseException) -> Diagnosis:
    """Say why a job's token is not taken for a role, as GitHub's are."""
    file, role = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE", ""), os.environ.get("AWS_ROLE_ARN", "")
    if isinstance(error, OSError):
        remedy = "let the job write its token there" if file else f"correct web_identity_token_file of {profile()}"
        return _none("the token for a role of AWS cannot be read", error, remedy)
    remedy = "compare the role's trust policy with the job: repository, branch, environment and audience"
    return _none(f"AWS does not take this job's token for the role {role.rpartition('/')[2]}".rstrip(), error, remedy)


def _none(sentence: str, error: BaseException, remedy: str = "") -> Diagnosis:
    # what botocore leaves out of some of its texts, such as where a file is broken
    more = [detail_of(error, "error")] if detail_of(error, "error") else []
    return Diagnosis(Kind.NO_CREDENTIALS, sentence, [message_of(error), *more], remedy or _correction(error))


def _correction(error: BaseException) -> str:
    """Return the remedy of credentials that are configured wrongly: no login helps before that is corrected."""
    names = set(names_of(error))
    if names & {"ConfigParseError", "ConfigNotFound", "InvalidConfigError", "UnknownCredentialError"}:
        named = next((each for each in NAMED.findall(message_of(error)) if each in os.environ), "")
        return f"correct {named or detail_of(error, 'path') or os.environ.get('AWS_CONFIG_FILE') or '~/.aws/config'}"
    if "MissingDependencyException" in names:
        return f'eval "$(aws configure export-credentials --profile {shlex.quote(profile())} --format env)"'
    if "PartialCredentialsError" in names:
        return f"add {detail_of(error, 'cred_var')}"
    return renewal()


DIAGNOSES: dict[str, Callable[[BaseException], Diagnosis]] = {
    "CredentialRetrievalError": _not_retrieved,
    "LoginError": _over,
    "LoginInsufficientPermissions": _not_granted,
    "NoCredentialsError": _missing,
    "ProfileNotFound": _unknown,
    "RefreshWithMFAUnsupportedError": _over,
    "SSOError": _over,
    "TokenRetrievalError": _over,
}
"""What explains each of botocore's classes."""
