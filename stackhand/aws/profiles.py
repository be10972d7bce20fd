"""Where credentials for AWS come from on this machine, and the command that renews them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

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
        return "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew, or unset them for a profile"
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
    return (
        "the keys in AWS_ACCESS_KEY_ID"
        if os.environ.get("AWS_ACCESS_KEY_ID")
        else f"the credentials of profile {profile()}"
    )
