"""One thing to know about a service on AWS before anything is applied."""

from __future__ import annotations

import msgspec

from stackhand.project.composekeys import Level


class Note(msgspec.Struct, frozen=True):
    """What becomes of a key of the Compose file.

    Args:
        level: how much of it AWS carries.
        key: of the service.
        subject: the service, or the part of it that is meant, with the service in parentheses.
        message: how it differs, or what is lost.
    """

    level: Level
    key: str
    subject: str
    message: str
