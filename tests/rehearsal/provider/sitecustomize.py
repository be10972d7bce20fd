"""The stand-in for Terraform's provider brings credentials of its own; the emulator wants those of its rehearsal."""

from __future__ import annotations

import contextlib
import os
from typing import Any

with contextlib.suppress(ImportError):
    import boto3

    class Session(boto3.Session):  # type: ignore[misc]
        """A session with the credentials of the environment."""

        def __init__(self, **given: Any) -> None:
            names = ("aws_access_key_id", "aws_secret_access_key")
            super().__init__(**{**given, **{name: os.environ.get(name.upper()) for name in names}})

    boto3.Session = Session
