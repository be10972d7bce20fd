"""The secrets that services read at their start: SSM parameters, by name and version, never by value."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

BATCH = 10
"""As many as GetParameters takes at once."""


def versions(ssm: Any, names: list[str]) -> dict[str, str]:
    """Return the versions of the parameters there are; never their values, which are not asked to be decrypted.

    With its time: a parameter that was removed and created again has version 1 again, and another value.
    """
    found = {}
    for start in range(0, len(names), BATCH):
        answer = ssm.get_parameters(Names=names[start : start + BATCH], WithDecryption=False)
        found.update({each["Name"]: _version(each) for each in answer["Parameters"]})
    return found


def _version(parameter: Mapping[str, Any]) -> str:
    """Return the version and its time in UTC; botocore tells it in the time zone of the machine that asks."""
    return f"{parameter['Version']} of {parameter['LastModifiedDate'].astimezone(UTC)}"
