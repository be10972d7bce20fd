"""An examination ends, whatever one of its checks does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from stackhand.cli.failure import Failure
from stackhand.local import doctor
from stackhand.local.doctor import Check


def test_hanging_or_failing_check_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def hangs() -> Iterator[Check]:
        yield Check("slow", "first", "pass", "seen")
        released.wait(60)

    def breaks() -> Iterator[Check]:
        yield from ()
        raise ZeroDivisionError("by nothing")

    def fails() -> Iterator[Check]:
        yield from ()
        raise Failure("It is not there.", evidence=["looked"], next="make it")

    monkeypatch.setattr(doctor, "TIMEOUT", 0.2)
    monkeypatch.setattr(doctor, "CATEGORIES", {"slow": hangs, "broken": breaks, "failed": fails})
    found = doctor.examine()
    released.set()
    assert found == [
        Check("slow", "first", "pass", "seen"),
        Check("slow", "slow", "warn", "no answer within 0.2 s"),
        Check("broken", "broken", "fail", "the check itself failed: ZeroDivisionError: by nothing"),
        Check("failed", "failed", "fail", "It is not there. looked", "make it"),
    ]
