"""The events of a playbook: what its callback and its steps report, one JSON object a line, to whoever watches it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

EVENTS = "STACKHAND_EVENTS"
"""Names the descriptor that they are written to."""


def emit(event: str, **facts: Any) -> None:
    """Report that something happened, at once; a step need not wait until Ansible has its result."""
    if descriptor := os.environ.get(EVENTS):
        with suppress(BrokenPipeError):  # who listened was killed; the work is finished none the less
            os.write(int(descriptor), (json.dumps({"event": event, **facts}) + "\n").encode())
