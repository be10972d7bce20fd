"""Who answers a request: the loop itself, or a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import Error

from service.http import limits
from service.http.channel import Channel
from service.http.lane import Lane

WAITING = 25
"""Requests that may wait, for each thread; more are refused at once."""


class OverloadedError(Error):  # type: ignore[misc] # waitress has no types
    """There are more requests than threads could answer in time."""

    code = 503
    reason = "Service Unavailable"


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Hands requests to threads, but for those that are answered from memory: the loop answers these itself.

    So they are answered whatever the threads do. A request the parser refused is answered in the loop too.

    Args:
        at_once: whether the path of a request is answered from memory.
        lane: answers the usual ones of these.
        threads: there will be.
        room: for connections; requests leave half of it.
    """

    def __init__(self, at_once: Callable[[str], bool], lane: Lane, threads: int, room: int) -> None:
        super().__init__()
        self._at_once = at_once
        self._lane = lane
        self._most = min(WAITING * threads, max(1, room // 2 - threads))
        self.loop_thread = 0

    def add_task(self, task: Channel) -> None:
        """See waitress. The caller may hold `task.requests_lock`."""
        if task.closing:
            # What came behind a request that was refused may be the second reading of the same bytes.
            task.requests.clear()
            return
        if task.total_outbufs_len > limits.UNREAD_BYTES:
            task.requests.clear()
            task.close_when_flushed = True
            return
        if threading.get_ident() == self.loop_thread:
            # Never in a thread of the pool: a hundred requests in a pipeline would be as many calls deep.
            request = task.requests[0]
            at_once = request.error is not None or self._at_once(request.path)
            if not at_once and len(self.queue) >= self._most:
                request.error, request.problem, at_once = OverloadedError("overloaded"), "overloaded", True
            if at_once:
                usual = request.error is None and not request.cut and not task.server.draining
                response = self._lane.respond(request) if usual else None
                if response is None:
                    task.service()
                else:
                    task.respond(response)
                return
        with self.lock:
            self.queue.append(task)
            self.queue_cv.notify()

    @property
    def busy(self) -> bool:
        """Whether a thread is at work, or a request waits for one."""
        return bool(self.queue) or self.active_count > 0
