"""`python -m service check`: whether the service on this machine is ready, for a container's health check.

It runs every few seconds in every container, so it imports next to nothing: http.client and the settings would take
three quarters of its time.
"""

from __future__ import annotations

import socket
import sys

TIMEOUT = 2.0
REQUEST = b"GET /health/ready HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"


def check(port: int) -> int:
    """Return 0 if the service is ready, else 1; the container has no curl to ask it.

    Args:
        port: where it listens.
    """
    try:
        with socket.socket() as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(("127.0.0.1", port))  # create_connection would import what encodes names
            connection.sendall(REQUEST)
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    except OSError as error:
        print(f"no answer: {error}", file=sys.stderr)  # noqa: T201 - for docker inspect
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    print(body.decode("utf-8", "replace"))  # noqa: T201
    return 0 if head.split(b" ", 2)[1:2] == [b"200"] else 1
