"""How often ministack looks whether the containers of a task still run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ministack.services import ecs

YOUNG = 10.0
"""Seconds in which jobs end, and in which what cannot start fails."""
WHILE_YOUNG, LATER = 0.2, 1.0
"""Seconds between two looks."""

_mark_stopped: Callable[..., None] = ecs._maybe_mark_stopped
_looks: dict[str, tuple[float, float]] = {}
"""The first and the last look at each task, by the monotonic clock."""


def mark_stopped(task: dict[str, Any], *rest: Any) -> None:
    """Note which containers of a task have ended, where the last look is long enough ago.

    ministack inspects each container twenty times a second for as long as it runs: with six tasks, half of a core.
    """
    now = time.monotonic()
    first, last = _looks.get(task["taskArn"], (now, float("-inf")))
    if now - last < (WHILE_YOUNG if now - first < YOUNG else LATER):
        return
    _looks[task["taskArn"]] = first, now
    _mark_stopped(task, *rest)
