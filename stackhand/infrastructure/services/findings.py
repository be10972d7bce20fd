"""What a check of the cloud reports: one thing, and what to do about it."""

from __future__ import annotations

from typing import Literal

import msgspec


class CloudFinding(msgspec.Struct, frozen=True):
    """One thing that AWS refuses or does differently, or that deserves a thought before a deploy.

    Args:
        level: how much it matters.
        subject: what it is about: a service, a file, a variable.
        message: what is found.
        remedy: what to do; empty where there is nothing to do, or the message says it.
        key: of the Compose file, where one is meant.
    """

    level: Literal["refused", "differs", "advice"]
    subject: str
    message: str
    remedy: str = ""
    key: str = ""

    def line(self) -> str:
        """Return it as people read it."""
        return f"{self.subject}: {self.message}{f' (fix: {self.remedy})' if self.remedy else ''}"
