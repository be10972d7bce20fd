"""A dependency of the service, with a thread that checks it periodically."""

from __future__ import annotations

import threading
import time
from typing import Any, Protocol

import structlog

from service.health import state as states
from service.health.state import FAIL, PASS, UNKNOWN, WARN, Result, State, iso

log = structlog.get_logger()

FIRST_RETRY, LAST_RETRY = 0.1, 1.0
"""Seconds until the next check of a component that does not pass, so that a recovery is noticed soon."""
START_RETRY = 0.1
"""Seconds between checks of a component that may still be starting: `./inv up` waits for its first success."""
RESTART_GRACE = 15.0
"""Maximum start-up grace in seconds for a component that worked just before this process started."""


class ProbeError(Exception):
    """The component is unusable.

    Args:
        code: the reason, for programs.
        detail: the full reason, for holders of the token.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class Probe(Protocol):
    """Checks a component once, on a separate connection."""

    address: str

    def check(self) -> str:
        """Return "" if the component is usable, a warning code if it is degraded; raise if it is unusable."""

    def abort(self) -> None:
        """Abort a check that takes too long; called from another thread, must not wait."""


class Component:
    """A component and its current state.

    Args:
        name: as in paths and answers, such as db.
        kind: datastore or component, as in draft-inadarei-api-health-check.
        probe: checks it once.
        interval: seconds between checks.
        deadline: seconds after which a check has failed, whatever it is doing.
        rise: see `state.advance`.
        fall: likewise.
        grace: seconds after its creation for which a failure means that the component is still starting.
        critical: whether the service needs it.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        probe: Probe,
        *,
        interval: float,
        deadline: float = 1.0,
        rise: int = 2,
        fall: int = 2,
        grace: float = 0.0,
        critical: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.critical = critical
        self._probe = probe
        self._interval = interval
        self._deadline = deadline
        self._rise, self._fall = rise, fall
        self._created, self._grace = time.monotonic(), grace
        self._stale_after = 3 * (interval + deadline)
        self._state = State(UNKNOWN, time.time())
        self._lock = threading.Lock()
        self._check_number = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._check_forever, name=f"probe-{name}", daemon=True)

    @property
    def state(self) -> State:
        """The current state, with the last result."""
        return self._state

    @property
    def status(self) -> str:
        """Pass, warn, fail, or unknown: never checked, or not for a long time."""
        return states.status_now(self._state, time.monotonic(), self._stale_after)

    @property
    def down(self) -> bool:
        """Whether using it is pointless: it fails, or has never been usable."""
        return self.status == FAIL or (self._state.status == UNKNOWN and self._state.failures > 0)

    @property
    def since(self) -> float:
        """The start of its status in seconds since the epoch; a stale component is unknown since its last check."""
        state = self._state
        if state.last is None or self.status == state.status:
            return state.since
        return state.last.at

    @property
    def age(self) -> float | None:
        """Seconds since the end of the last check; None before the first."""
        last = self._state.last
        return time.monotonic() - last.clock if last else None

    def remember(self, status: str) -> None:
        """Shorten the start-up grace according to the status just before this process started.

        A component that failed then is not starting now, and one that passed needs little time to return.

        Args:
            status: pass, warn or fail.
        """
        self._grace = min(self._grace, RESTART_GRACE if status == PASS else 0.0)

    def start(self) -> None:
        """Start checking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop checking, and abort the current check."""
        self._stopping.set()
        self._probe.abort()

    def check(self) -> None:
        """Check once and record the result. A probe that raises, hangs, or returns nonsense has failed."""
        with self._lock:
            self._check_number += 1
            number = self._check_number
        began = time.monotonic()
        guard = threading.Timer(self._deadline, self._expire, (number, began))
        guard.daemon = True
        guard.name = f"deadline-{self.name}"
        guard.start()
        try:
            status, code, detail = self._outcome()
        finally:
            guard.cancel()
        self._record(number, _result(status, began, code, detail))

    def to_dict(self, *, details: bool = False) -> dict[str, Any]:
        """Return the component as in a health answer; with addresses and error texts if `details`."""
        state, status, age = self._state, self.status, self.age
        document: dict[str, Any] = {
            "componentId": self.name,
            "componentType": self.kind,
            "status": status,
            "since": iso(self.since),
            "consecutiveFailures": state.failures,
        }
        if state.last_ok is not None:
            document["lastOk"] = iso(state.last_ok)
        if state.last is None:
            return document | {"output": "not_probed"}
        document |= {
            "time": iso(state.last.at),
            "age": round(age or 0.0, 1),
            "observedValue": state.last.latency_ms,
            "observedUnit": "ms",
        }
        if status != PASS or state.last.status != PASS:
            document["output"] = "stale" if status != state.status else state.last.code or "recovering"
        if details:
            document["address"] = self._probe.address
            if state.last.detail:
                document["detail"] = state.last.detail
        return document

    def _outcome(self) -> tuple[str, str, str]:
        try:
            warning = self._probe.check()
        except ProbeError as error:
            return FAIL, error.code, str(error)
        except TimeoutError as error:
            return FAIL, "timeout", str(error)
        except ConnectionRefusedError as error:
            return FAIL, "refused", str(error)
        except Exception as error:
            return FAIL, "error", f"{type(error).__name__}: {error}"
        if not isinstance(warning, str):
            return FAIL, "invalid", f"the probe returned {warning!r}"
        return (WARN, warning, "") if warning else (PASS, "", "")

    def _expire(self, number: int, began: float) -> None:
        """Record a failure for a check that is still running, and abort it; its later result is ignored."""
        expired = _result(FAIL, began, "timeout", f"no result within {self._deadline:g} s")
        if self._record(number, expired):
            self._probe.abort()

    def _record(self, number: int, result: Result) -> bool:
        with self._lock:
            if number != self._check_number or self._stopping.is_set():
                return False
            self._check_number += 1  # this check has its result
            before = self._state
            starting = time.monotonic() - self._created < self._grace
            self._state = states.advance(before, result, rise=self._rise, fall=self._fall, starting=starting)
        if before.status != self._state.status:
            write = log.warning if self._state.status == FAIL else log.info
            write(
                "component changed",
                component=self.name,
                before=before.status,
                now=self._state.status,
                code=result.code,
                detail=result.detail,
                lasted_s=round(result.at - before.since, 1),
            )
        return True

    def _check_forever(self) -> None:
        retry = FIRST_RETRY
        while not self._stopping.is_set():
            try:
                self.check()
            except Exception:  # for example, too many threads: the guard cannot start
                log.exception("check failed", component=self.name)
            if self._state.status == PASS and self._state.against == 0:
                retry = FIRST_RETRY
                self._stopping.wait(self._interval)
                continue
            if self._state.status == UNKNOWN:
                self._stopping.wait(min(self._interval, START_RETRY))
                continue
            if self._state.against:
                retry = FIRST_RETRY  # about to change: the next checks decide
            self._stopping.wait(min(self._interval, retry))
            retry = min(2 * retry, LAST_RETRY)


def _result(status: str, began: float, code: str, detail: str) -> Result:
    ended = time.monotonic()
    return Result(status, time.time(), ended, round((ended - began) * 1000, 2), code, detail[:500])
