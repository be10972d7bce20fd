"""Who we are to AWS: credentials that are missing, wrong or expired; and what AWS does not allow us."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stackhand.aws.diagnosis import Diagnosis, Kind, answer_of, code_of, detail_of, message_of, names_of

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
WRONG_ADDRESS = "the address of this machine's metadata service is not valid"
WRONG = (
    ("ConfigNotFound", "AWS's configuration file does not exist", "correct {setting}"),
    ("ConfigParseError", "AWS's configuration file cannot be read", "correct {setting}"),
    ("InvalidConfigError", "the configuration of AWS profile {profile} is not valid", "correct {setting}"),
    ("InvalidIMDSEndpointError", WRONG_ADDRESS, "correct {setting}"),
    ("InvalidIMDSEndpointModeError", WRONG_ADDRESS, "correct {setting}"),
    ("MetadataRetrievalError", "this machine's metadata service gives no credentials", "{renewal}"),
    (
        "MissingDependencyException",
        "AWS profile {profile} logs in by a method that needs a missing package",
        'eval "$(aws configure export-credentials --profile {profile} --format env)"',
    ),
    ("NoAuthTokenError", "there is no token for AWS", "{renewal}"),
    ("PartialCredentialsError", "the credentials are not complete", "add {missing}"),
    ("UnknownCredentialError", "AWS profile {profile} names no source of credentials", "correct {setting}"),
    ("UnknownTokenProviderError", "AWS profile {profile} names no source of tokens", "correct {setting}"),
)
"""Why there are no credentials, by botocore's class, and what fixes it."""


def diagnose(error: BaseException) -> Diagnosis | None:
    """Return what is wrong with our credentials; None when an error is not about them."""
    names, code = list(names_of(error)), code_of(error)
    for name in names:
        if name in DIAGNOSES:
            return DIAGNOSES[name](error)
    return _wrong(error, names) or (_over(error) if code in EXPIRED else _rejected(error) if code in REJECTED else None)


def _wrong(error: BaseException, names: Sequence[str]) -> Diagnosis | None:
    missing = detail_of(error, "cred_var")
    for name, sentence, remedy in WRONG:
        if name in names:
            return Diagnosis(
                Kind.NO_CREDENTIALS,
                sentence.format(profile=profile()),
                _evidence(error),
                remedy.format(profile=profile(), renewal=renewal(), setting=_setting(error), missing=missing),
            )
    return None


def _rejected(error: BaseException) -> Diagnosis:
    note = "AWS gives the same answer for a region that is not enabled for the account"
    return Diagnosis(Kind.NO_CREDENTIALS, f"AWS does not accept {source()}", [message_of(error), note], renewal())


def _missing(_error: BaseException) -> Diagnosis:
    sources = f"no AWS_ACCESS_KEY_ID, nothing usable in profile {profile()}, and no role of this machine"
    return Diagnosis(Kind.NO_CREDENTIALS, "there are no credentials for AWS", [sources], renewal())


def _not_granted(error: BaseException) -> Diagnosis:
    remedy = "get the permission signin:CreateOAuth2Token"
    return _none(f"AWS profile {profile()} has no permission to log in", error, remedy)


def _unknown(error: BaseException) -> Diagnosis:
    name, there = detail_of(error, "profile"), sorted(known())
    chosen = next((each for each in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE") if each in os.environ), "AWS_PROFILE")
    file = os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"
    evidence = [f"{chosen}={os.environ.get(chosen, '')}", f"profiles in {file}: {', '.join(there) or 'none'}"]
    if not name:
        return Diagnosis(Kind.UNKNOWN_PROFILE, f"{chosen} is set but empty", evidence, f"unset {chosen}")
    remedy = f"set {chosen} to one of them" if there else f"aws configure sso --profile {name}"
    return Diagnosis(Kind.UNKNOWN_PROFILE, f"there is no AWS profile {name} on this machine", evidence, remedy)


def _over(error: BaseException) -> Diagnosis:
    if os.environ.get("AWS_ACCESS_KEY_ID") or os.environ.get("GITHUB_ACTIONS"):
        return Diagnosis(Kind.EXPIRED, "the credentials expired", [message_of(error)], renewal())
    sentence = f"the session of AWS profile {profile()} has expired, or was never started"
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
        trust = "add yourself to its trust policy, or use another profile"
        return _none(f"AWS does not let profile {profile()} assume its role", cause, trust)
    if isinstance(cause, EOFError):
        typed = f'type its code here: eval "$(aws configure export-credentials --profile {profile()} --format env)"'
        return _none(f"AWS profile {profile()} needs an MFA code, which cannot be typed here", error, typed)
    if provider == "custom-process":
        why = f"see why: aws configure export-credentials --profile {profile()}"
        return _none(f"the credential_process of AWS profile {profile()} failed", error, why)
    return _none("there are no credentials for AWS", error, renewal())


def _web_identity(error: BaseException) -> Diagnosis:
    """Say why a job's token is not taken for a role, as GitHub's are."""
    file, role = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE", ""), _role()
    if isinstance(error, OSError):
        remedy = "let the job write its token there" if file else f"correct web_identity_token_file of {profile()}"
        return _none("the token for a role of AWS cannot be read", error, remedy)
    trust = "compare the role's trust policy with the job: repository, branch, environment and audience"
    return _none(f"AWS refuses this job's token for the role {role}", error, trust)


def _role() -> str:
    return os.environ.get("AWS_ROLE_ARN", "").rpartition("/")[2] or f"of profile {profile()}"


def _none(sentence: str, error: BaseException, remedy: str) -> Diagnosis:
    return Diagnosis(Kind.NO_CREDENTIALS, sentence, _evidence(error), remedy)


def _evidence(error: BaseException) -> list[str]:
    """Return an error's message, and what botocore leaves out of some of them, such as where a file is broken."""
    return [each for each in (message_of(error), detail_of(error, "error")) if each]


def _setting(error: BaseException) -> str:
    """Return what is configured wrongly: a variable that the message names, else the file."""
    named = next((each for each in NAMED.findall(message_of(error)) if each in os.environ), "")
    return named or detail_of(error, "path") or os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config"


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


RENEWED_BY = {
    "sso_session": "aws sso login",
    "sso_start_url": "aws sso login",
    "login_session": "aws login",
    "credential_process": "see why its credential_process fails: aws configure export-credentials",
}
"""The command that renews a profile, by the key that identifies its kind."""


def profile() -> str:
    """Return the profile that boto3 uses: for it, AWS_DEFAULT_PROFILE wins over AWS_PROFILE."""
    return os.environ.get("AWS_DEFAULT_PROFILE") or os.environ.get("AWS_PROFILE") or "default"


def renewal() -> str:
    """Return what renews the credentials used here: a command for the profile, or what sets the variables."""
    if os.environ.get("GITHUB_ACTIONS"):
        return "let the job log in again (aws-actions/configure-aws-credentials; permissions: id-token: write)"
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return (
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN again, or unset them to use a profile"
        )
    return _login(known(), profile())


def _login(entries: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """Return the command that renews a profile: that of the one it gets its credentials from, where there is one."""
    entry = entries.get(name)
    if entry is None:
        return "aws configure sso, or AWS_PROFILE=NAME of a profile you have"
    source = entry.get("source_profile", name)
    if source != name:
        return _login({each: rest for each, rest in entries.items() if each != name}, source)
    commands = (command for key, command in RENEWED_BY.items() if key in entry)
    return f"{next(commands, 'aws configure')} --profile {shlex.quote(name)}"


def known() -> dict[str, dict[str, Any]]:
    """Return the profiles of AWS's two files; none when they cannot be read."""
    import botocore.session

    try:
        return dict(botocore.session.get_session().full_config["profiles"])
    except Exception:  # whatever is wrong with them is reported elsewhere
        return {}


def source() -> str:
    """Say which credentials are used."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return "the keys in AWS_ACCESS_KEY_ID"
    return f"the credentials of profile {profile()}"


DENIED_CODES = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "Forbidden",
        "ForbiddenException",
        "NotAuthorized",
        "UnauthorizedOperation",
        "403",
    }
)
ACTION = re.compile(r"not authorized to perform:? ([\w-]+:\w+)")
DENIED = re.compile(r"explicit deny in an? ([\w -]*(?:policy|boundary))")
WHO = re.compile(r"User: (arn:[^\s,]+)")
NAMES = {
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
"""Operations of S3 whose right has another name."""


def diagnose_rights(error: BaseException) -> Diagnosis | None:
    """Return what we may not do; None when an error is not about that."""
    if code_of(error) not in DENIED_CODES:
        return None
    message = message_of(error)
    action, who = action_of(error), _denied_to(message)
    remedy = f"grant {action} to {who or 'your role'} (docs/operations.md), or use another role"
    if denied := DENIED.search(message):
        remedy = f"a grant does not help: remove {action} from the {denied[1]} that denies it, or use another role"
    sentence = f"AWS does not allow {action}{f' to {who}' if who else ''}"
    return Diagnosis(Kind.DENIED, sentence, [message], remedy)


def action_of(error: BaseException) -> str:
    """Return the right that is missing: the one that AWS names, else that of the operation."""
    if named := ACTION.search(message_of(error)):
        return named[1]
    operation = str(getattr(error, "operation_name", "") or "this")
    service = answer_of(error).get("ResponseMetadata", {}).get("Service", "")
    return f"{service}:{NAMES.get(operation, operation) if service == 's3' else operation}" if service else operation


def _denied_to(message: str) -> str:
    """Return whom AWS names: the role of a session, or a user."""
    match = WHO.search(message)
    kind, _, name = (match[1].rpartition(":")[2] if match else "").partition("/")
    return f"the role {name.partition('/')[0]}" if kind == "assumed-role" else f"the {kind} {name}" if name else ""
