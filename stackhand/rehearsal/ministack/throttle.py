"""Refuses a few requests as AWS does when it has too many: at random, and with one seed always the same ones."""

from __future__ import annotations

import json
import random

from stackhand.rehearsal.ministack.guard import Application, Receive, Scope, Send

SHARE = 0.02
"""Of the requests that only read: boto3 and Terraform's provider ask again, and whoever asks otherwise must, too."""
SPARED = 20
"""How many reads after a refused one are answered: who asks a second time is never refused twice."""
READING = ("Describe", "List", "Get")


class Throttle:
    """An ASGI application that hands on most of what it gets.

    Args:
        application: the emulator.
        seed: of the choice.
        share: how many of them it refuses, 0 to 1.
    """

    def __init__(self, application: Application, seed: int, share: float = SHARE) -> None:
        self._application, self._share = application, share
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self.refused, self._spared = 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it for now."""
        if not (_reads(scope) and self._chosen()):
            await self._application(scope, receive, send)
            return
        body = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"}).encode()
        headers = [(b"content-type", b"application/x-amz-json-1.1")]
        await send({"type": "http.response.start", "status": 400, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _chosen(self) -> bool:
        """Whether to refuse the next read."""
        if self._spared > 0:
            self._spared -= 1
        elif self._random.random() < self._share:
            self.refused, self._spared = self.refused + 1, SPARED
            return True
        return False


def _reads(scope: Scope) -> bool:
    """Whether a request is one of the JSON protocol that changes nothing."""
    targets = [value for name, value in scope.get("headers", []) if name.lower() == b"x-amz-target"]
    return bool(targets) and targets[0].decode("latin-1").rpartition(".")[2].startswith(READING)
