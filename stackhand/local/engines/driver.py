"""Connections to PostgreSQL that tell nobody the password: another account can have its port while it restarts."""

from __future__ import annotations

import struct
from typing import Any

import pg8000.native
from scramp import ScramException

from stackhand.cli.failure import ExitCode, Failure

LET_IN = 0
IN_CLEAR = {3: "in clear"}
ASKED = {**IN_CLEAR, 5: "as MD5"}
"""How a server can ask for the password, or for what tells whether a guess of it is right; SCRAM tells nothing."""


class OverTcp(pg8000.native.Connection):  # type: ignore[misc]
    """A connection whose password is proved with SCRAM, or not at all."""

    asked = ASKED

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802 - pg8000's name
        """See pg8000.

        Raises:
            Failure: the server wants the password itself, or does not know it.
        """
        (how,) = struct.unpack_from("!i", data)
        host, port = self._usock.getpeername()[:2]
        if how in self.asked:
            raise _false(f"{host}:{port}", f"asks for the password {self.asked[how]}")
        try:
            super().handle_AUTHENTICATION_REQUEST(data, context)
        except ScramException as error:
            raise _false(f"{host}:{port}", "does not know the password") from error


class ToAnyVersion(OverTcp):
    """The same to a server whose version is the user's choice: until 13 PostgreSQL kept passwords as MD5."""

    asked = IN_CLEAR


class OverSocket(pg8000.native.Connection):  # type: ignore[misc]
    """A connection whose server asks the system who we are, and us for nothing."""

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: ARG002, N802 - pg8000's
        """See pg8000.

        Raises:
            Failure: the server asks for anything.
        """
        (asked,) = struct.unpack_from("!i", data)
        if asked != LET_IN:
            raise _false(self._usock.getpeername(), "asks for a password although the system identifies us")


def _false(address: str, does: str) -> Failure:
    return Failure(
        f"The server at {address} {does}: it is not this stack's PostgreSQL.",
        evidence=["the password was not sent; another account on this machine may impersonate the server"],
        next="./inv doctor",
        code=ExitCode.UNHEALTHY,
    )
