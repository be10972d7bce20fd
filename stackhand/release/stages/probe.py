"""The last check of a release, from outside: it is healthy, it is this one as far as it tells, and it stays so."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from stackhand.aws.waiting import Clock
from stackhand.project.stack.probes import Question, Questions
from stackhand.release.context import Context
from stackhand.release.manifest import Manifest
from stackhand.release.target import target_of

UNWELL = frozenset({"fail", "error", "down"})
"""What `status` says of something that is not well, in the form of application/health+json."""
HEALTH = "application/health+json"
OK = HTTPStatus.OK
MOST = 1_000_000
"""The bytes that are read of an answer."""


@dataclass(frozen=True)
class ProbeAnswer:
    """What an address answered.

    Args:
        code: of HTTP; 0 when nobody answered.
        body: its JSON; empty when it has none.
        seconds: it took.
        message: why there was none.
        type: of its content.
    """

    code: int
    body: dict[str, Any]
    seconds: float
    message: str = ""
    type: str = ""


@dataclass(frozen=True)
class ReleaseProbe:
    """What a release has to show.

    Args:
        commit: that the path of the version has to have.
        times: how often in a row.
        cap: seconds an answer may take.
        pause: seconds between two.
        timeout: seconds in which it has to succeed.
    """

    url: str
    commit: str
    questions: Questions
    times: int = 3
    cap: float = 2.0
    pause: float = 0.5
    timeout: float = 30.0

    def run(
        self, clock: Clock, notify: Callable[[str], None], get: Callable[[str, float], ProbeAnswer] | None = None
    ) -> list[str]:
        """Ask until it has succeeded as often as it must, in a row; a release of which nothing is asked has.

        Returns:
            Why it did not, in its last words; nothing when it did.
        """
        get = get or ask
        deadline = clock.now() + self.timeout
        row, last = 0, list[str]()
        while self.questions.asked:
            problems = [problem for each in self.questions.asked for problem in self._problems(each, get)]
            row, last = (0, problems) if problems else (row + 1, last)
            if row >= self.times:
                return []
            if clock.now() >= deadline:
                return problems or [*last, f"after that only {row} good answers in a row, not {self.times}"]
            notify(problems[0] if problems else f"{self.url} answers{self._as()} ({row} of {self.times})")
            clock.sleep(self.pause)
        return []

    def summary(self) -> str:
        """Return what was asked and answered, once it has succeeded."""
        asked = self.questions.asked
        if not asked:
            return f"nothing was probed from outside: no service has x-aws.paths and a health path; {self.url}"
        healthy = ", ".join(each.path for each in asked if not each.commit)
        parts = [f"200 from {healthy}"] if healthy else []
        parts += [f"{self.commit[:12]} from {each.path}" for each in asked if each.commit]
        return f"{self.times} times in a row {', '.join(parts)}, at {self.url}"

    def _as(self) -> str:
        return f" as {self.commit[:12]}" if self.questions.version else ""

    def _problems(self, question: Question, get: Callable[[str, float], ProbeAnswer]) -> list[str]:
        """Ask one question, and return what is wrong with its answer."""
        answer = get(self.url + question.path, self.cap)
        what = (self._version if question.commit else _health)(answer)
        slow = [f"{question.path}: took more than {self.cap:g} s"] if answer.seconds > self.cap else []
        return ([f"{question.path}: {what}"] if what else []) + slow

    def _version(self, answer: ProbeAnswer) -> str:
        commit = str(answer.body.get("commit", ""))
        if answer.code == OK and commit == self.commit:
            return ""
        return f"says commit {commit}, not {self.commit}" if commit else _code(answer, "its JSON has no commit")


def probe_of(context: Context, manifest: Manifest) -> ReleaseProbe:
    """Return the probe that a release has to pass."""
    timing = context.timing
    target = target_of(manifest)
    return ReleaseProbe(
        target.url.rstrip("/"),
        manifest.commit,
        target.questions(),
        times=timing.probes,
        cap=timing.cap,
        timeout=timing.probe_timeout,
    )


def _health(answer: ProbeAnswer) -> str:
    """Return what is wrong with an answer: its code, or the state it tells where it speaks of health."""
    status = str(answer.body.get("status", ""))
    unwell = answer.type == HEALTH and status.lower() in UNWELL
    if answer.code == OK and not unwell:
        return ""
    return f"{answer.message or answer.code}{f', status {status}' if status else ''}{_unwell(answer.body)}"


def _code(answer: ProbeAnswer, why: str) -> str:
    return str(answer.message or (why if answer.code == OK else answer.code))


def ask(url: str, cap: float) -> ProbeAnswer:
    """GET an address, in bounded time."""
    began = time.monotonic()
    try:
        with _response(url, cap) as response:
            code, text, headers = response.status or 0, _read(response), response.headers
    except (OSError, ValueError, http.client.HTTPException) as error:
        return ProbeAnswer(0, {}, time.monotonic() - began, f"no answer: {getattr(error, 'reason', None) or error}")
    message = f"{code} to {headers['Location']}" if HTTPStatus(300) <= code < HTTPStatus(400) else ""
    return ProbeAnswer(code, _json(text), time.monotonic() - began, message, headers.get_content_type())


def _read(response: Any) -> bytes:
    """Read what an answer has, up to a limit; with one, `read` does not tell of an answer that ends early."""
    text: bytes = response.read(MOST)
    if len(text) < MOST and response.length:
        raise http.client.IncompleteRead(text, response.length)
    return text


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the page of a login that a path leads to says nothing of the path."""

    def redirect_request(self, *_: Any) -> None:
        """Have a redirect be the answer."""


def _response(url: str, cap: float) -> Any:
    """Return the answer of an address, whatever its code is."""
    request = urllib.request.Request(url, headers={"Accept": "application/json", "Cache-Control": "no-cache"})  # noqa: S310 - of our own load balancer
    try:
        return urllib.request.build_opener(_Stay).open(request, timeout=cap)
    except urllib.error.HTTPError as error:
        return error


def _json(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


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
