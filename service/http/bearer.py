"""Bearer tokens: who may do what."""

from __future__ import annotations

import hmac


def has(authorization: str, token: str) -> bool:
    """Whether the value of an Authorization header has a token; an empty token is nobody's.

    It takes as long whatever of a wrong one is right.
    """
    return bool(token) and hmac.compare_digest(authorization.encode("latin-1", "replace"), f"Bearer {token}".encode())
