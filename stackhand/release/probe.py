"""The last look at a release, from outside: it is healthy, it is this one, and it stays so."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stackhand.release.waiting import Clock

HEALTHY = frozenset({"pass", "warn"})


@dataclass(frozen=True)
class Answer:
    """What an address answered.

    Args:
        code: of HTTP; 0 when nobody answered.
        body: its JSON; empty when it has none.
        seconds: it took.
        words: why there was none.
    """

    code: int
    body: dict[str, Any]
    seconds: float
    words: str = ""


@dataclass(frozen=True)
class Probe:
    """What a release has to show.

    Args:
        url: of the load balancer.
        commit: that /version is to tell; nothing asks for none.
        times: how often in a row.
        cap: seconds an answer may take.
        pause: seconds between two.
        timeout: seconds in which it has to succeed.
        health: the path of the whole health; what it has to say is pass, or warn without its cache.
        version: the path that tells the commit.
    """

    url: str
    commit: str
    times: int = 3
    cap: float = 2.0
    pause: float = 0.5
    timeout: float = 30.0
    health: str = "/health/all"
    version: str = "/version"

    def run(
        self, clock: Clock, say: Callable[[str], None], get: Callable[[str, float], Answer] | None = None
    ) -> list[str]:
        """Ask until it has succeeded as often as it must, in a row.

        Returns:
            Why it did not, in its last words; nothing when it did.
        """
        get = get or ask
        deadline = clock.now() + self.timeout
        row, last = 0, list[str]()
        while True:
            problems = self._once(get)
            row, last = (0, problems) if problems else (row + 1, last)
            if row >= self.times:
                return []
            if clock.now() >= deadline:
                return problems or [*last, f"after that only {row} good answers in a row, not {self.times}"]
            say(problems[0] if problems else f"{self.url} answers as {self.commit[:12]} ({row} of {self.times})")
            clock.sleep(self.pause)

    def _once(self, get: Callable[[str, float], Answer]) -> list[str]:
        problems = []
        health = get(self.url + self.health, self.cap)
        if health.code != 200 or health.body.get("status") not in HEALTHY:  # noqa: PLR2004 - HTTP
            status = f", status {health.body['status']}" if "status" in health.body else ""
            problems.append(f"{self.health}: {health.words or health.code}{status}{_unwell(health.body)}")
        if self.version and self.commit:
            version = get(self.url + self.version, self.cap)
            told = str(version.body.get("commit", ""))
            if version.code != 200 or told != self.commit:  # noqa: PLR2004 - HTTP
                what = f"says commit {told}, not {self.commit}" if told else str(version.words or version.code)
                problems.append(f"{self.version}: {what}")
        slow = [path for path, answer in ((self.health, health),) if answer.seconds > self.cap]
        return problems + [f"{path}: took more than {self.cap:g} s" for path in slow]


def ask(url: str, cap: float) -> Answer:
    """GET an address, in bounded time."""
    began = time.monotonic()
    request = urllib.request.Request(url, headers={"Accept": "application/json", "Cache-Control": "no-cache"})  # noqa: S310 - of our own load balancer
    try:
        with urllib.request.urlopen(request, timeout=cap) as response:  # noqa: S310 - as above
            code, text = response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            code, text = error.code, error.read()
    except (OSError, ValueError) as error:
        return Answer(0, {}, time.monotonic() - began, f"no answer: {getattr(error, 'reason', None) or error}")
    return Answer(code, _json(text), time.monotonic() - began)


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _unwell(body: dict[str, Any]) -> str:
    """Name the components that are not well, in the form of application/health+json."""
    checks = body.get("checks")
    if not isinstance(checks, dict):
        return ""
    bad = [
        f"{name.partition(':')[0]} {each.get('output') or each.get('status')}"
        for name, parts in checks.items()
        for each in (parts if isinstance(parts, list) else [parts])
        if isinstance(each, dict) and each.get("status") not in {"pass", None}
    ]
    return f" ({'; '.join(bad)})" if bad else ""
