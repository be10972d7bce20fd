"""What AWS does not allow us: which action, and to whom."""

from __future__ import annotations

import re

from stackhand.aws.diagnosis import Diagnosis, Kind, answer_of, code_of, message_of

CODES = frozenset(
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


def diagnose(error: BaseException) -> Diagnosis | None:
    """Return what we may not do; None when an error is not about that."""
    if code_of(error) not in CODES:
        return None
    message = message_of(error)
    action, who = action_of(error), _role(message)
    remedy = f"grant {action} to {who or 'your role'} (docs/operations.md), or use another role"
    if denied := DENIED.search(message):
        remedy = f"a grant does not help: remove {action} from the {denied[1]} that denies it, or use another role"
    return Diagnosis(
        Kind.DENIED,
        f"AWS does not allow {action}{f' to {who}' if who else ''}",
        [message],
        remedy,
    )


def action_of(error: BaseException) -> str:
    """Return the right that is missing: the one that AWS names, else that of the operation."""
    if named := ACTION.search(message_of(error)):
        return named[1]
    operation = str(getattr(error, "operation_name", "") or "this")
    service = answer_of(error).get("ResponseMetadata", {}).get("Service", "")
    return f"{service}:{NAMES.get(operation, operation) if service == 's3' else operation}" if service else operation


def _role(message: str) -> str:
    """Return whom AWS names: the role of a session, or a user."""
    found = WHO.search(message)
    kind, _, name = (found[1].rpartition(":")[2] if found else "").partition("/")
    return f"the role {name.partition('/')[0]}" if kind == "assumed-role" else f"the {kind} {name}" if name else ""
