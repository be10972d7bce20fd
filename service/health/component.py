"""Something the service depends on, with a thread that looks at it again and again."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from service.health import state as states
from service.health.state import FAIL, PASS, UNKNOWN, WARN, Result, State

log = structlog.get_logger()

FIRST_RETRY, LAST_RETRY = 0.1, 1.0
"""Seconds until the next look at a component that does not pass, so that its return is seen soon."""
START_RETRY = 0.2
"""Seconds between two checks of a component that may still be starting: `./inv up` waits for its first success."""
RESTART_GRACE = 15.0
"""Seconds of the start-up grace, at most, for a component that worked just before this process started."""


class ProbeError(Exception):
    """A component cannot be used.

    Args:
        code: a word for the reason that programs may rely on.
        detail: the reason in full, for those who may read it.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class Probe(Protocol):
    """Looks at a component once, on a connection of its own."""

    address: str

    def look(self) -> str:
        """Return "" when the component can be used, a word when it can with a reservation; raise when it cannot."""

    def abort(self) -> None:
        """End a look that takes too long; called from another thread, must not wait."""


class Component:
    """What is known of a component.

    Args:
        name: as it stands in paths and answers, such as db.
        kind: datastore or component, as in draft-inadarei-api-health-check.
        probe: looks at it once.
        interval: seconds between two looks.
        deadline: seconds on the wall clock after which a look has failed, whatever it is doing.
        rise: see `state.advance`.
        fall: likewise.
        grace: seconds after this component was created for which a failure means that it is still starting.
        critical: whether the service is of no use without it.
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
        self._look_number = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_forever, name=f"probe-{name}", daemon=True)

    @property
    def state(self) -> State:
        """What is held true, and the last result."""
        return self._state

    @property
    def status(self) -> str:
        """Pass, warn, fail, or unknown: nobody has looked, or not for long."""
        return states.status_now(self._state, time.monotonic(), self._stale_after)

    @property
    def down(self) -> bool:
        """Whether trying it is of no use: it fails, or has not been usable yet."""
        return self.status == FAIL or (self._state.status == UNKNOWN and self._state.failures > 0)

    @property
    def since(self) -> float:
        """Since when it has its status, in seconds since the epoch; what is unknown is so since the last look."""
        state = self._state
        if state.last is None or self.status == state.status:
            return state.since
        return state.last.at

    @property
    def age(self) -> float | None:
        """Seconds since the last look ended; None when there was none."""
        last = self._state.last
        return time.monotonic() - last.clock if last else None

    def remember(self, status: str) -> None:
        """Shorten the start-up grace by what was known of the component just before this process started.

        What was in trouble then is not starting, and what passed then has little time to come back.

        Args:
            status: pass, warn or fail.
        """
        self._grace = min(self._grace, RESTART_GRACE if status == PASS else 0.0)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; a look that is under way is ended, not waited for."""
        self._stopping.set()
        self._probe.abort()

    def look(self) -> None:
        """Look once and keep the result. A probe that raises anything, hangs, or returns nonsense has failed."""
        with self._lock:
            self._look_number += 1
            number = self._look_number
        began = time.monotonic()
        guard = threading.Timer(self._deadline, self._expire, (number, began))
        guard.daemon = True
        guard.name = f"deadline-{self.name}"
        guard.start()
        try:
            status, code, detail = self._outcome()
        finally:
            guard.cancel()
        self._keep(number, _result(status, began, code, detail))

    def to_dict(self, *, details: bool = False) -> dict[str, Any]:
        """Return the component as it stands in a health answer; with addresses and errors if `details`."""
        state, status, age = self._state, self.status, self.age
        found: dict[str, Any] = {
            "componentId": self.name,
            "componentType": self.kind,
            "status": status,
            "since": iso(self.since),
            "consecutiveFailures": state.failures,
        }
        if state.last_ok is not None:
            found["lastOk"] = iso(state.last_ok)
        if state.last is None:
            return found | {"output": "not_probed"}
        found |= {
            "time": iso(state.last.at),
            "age": round(age or 0.0, 1),
            "observedValue": state.last.latency_ms,
            "observedUnit": "ms",
        }
        if status != PASS or state.last.status != PASS:
            found["output"] = "stale" if status != state.status else state.last.code or "recovering"
        if details:
            found["address"] = self._probe.address
            if state.last.detail:
                found["detail"] = state.last.detail
        return found

    def _outcome(self) -> tuple[str, str, str]:
        try:
            said = self._probe.look()
        except ProbeError as error:
            return FAIL, error.code, str(error)
        except TimeoutError as error:
            return FAIL, "timeout", str(error)
        except ConnectionRefusedError as error:
            return FAIL, "refused", str(error)
        except Exception as error:
            return FAIL, "error", f"{type(error).__name__}: {error}"
        if not isinstance(said, str):
            return FAIL, "invalid", f"the probe returned {said!r}"
        return (WARN, said, "") if said else (PASS, "", "")

    def _expire(self, number: int, began: float) -> None:
        """Have a look failed that is still under way, and end it; what it returns later counts no more."""
        expired = _result(FAIL, began, "timeout", f"no result within {self._deadline:g} s")
        if self._keep(number, expired):
            self._probe.abort()

    def _keep(self, number: int, result: Result) -> bool:
        with self._lock:
            if number != self._look_number or self._stopping.is_set():
                return False
            self._look_number += 1  # this look has its result
            before = self._state
            starting = time.monotonic() - self._created < self._grace
            self._state = states.advance(before, result, rise=self._rise, fall=self._fall, starting=starting)
        if before.status != self._state.status:
            say = log.warning if self._state.status == FAIL else log.info
            say(
                "component changed",
                component=self.name,
                before=before.status,
                now=self._state.status,
                code=result.code,
                detail=result.detail,
                lasted_s=round(result.at - before.since, 1),
            )
        return True

    def _look_forever(self) -> None:
        retry = FIRST_RETRY
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:  # a guard that could not start, say: too many threads
                log.exception("look failed", component=self.name)
            if self._state.status == PASS and self._state.against == 0:
                retry = FIRST_RETRY
                self._stopping.wait(self._interval)
                continue
            if self._state.status == UNKNOWN:
                self._stopping.wait(min(self._interval, START_RETRY))
                continue
            if self._state.against:
                retry = FIRST_RETRY  # about to change: the next looks settle it
            self._stopping.wait(min(self._interval, retry))
            retry = min(2 * retry, LAST_RETRY)


def iso(seconds: float) -> str:
    """Return a time in seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _result(status: str, began: float, code: str, detail: str) -> Result:
    ended = time.monotonic()
    return Result(status, time.time(), ended, round((ended - began) * 1000, 2), code, detail[:500])
