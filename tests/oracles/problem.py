"""What an oracle says."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing that AWS would refuse, or that would not work there.

    Args:
        address: of the resource.
        message: what is wrong with it.
        oracle: which one says so.
    """

    address: str
    message: str
    oracle: str

    def __str__(self) -> str:
        return f"{self.oracle}: {self.address}: {self.message}"
