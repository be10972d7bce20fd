"""AWS's errors, by the name that the stages of a release know them by."""

from __future__ import annotations

from stackhand.aws.errors import code_of, expired, failure, message_of, transient

__all__ = ["code_of", "expired", "failure", "message_of", "transient"]
