"""Dispatch requests to the loop itself or to a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import Error

from service.http import limits
from service.http.channel import Channel
from service.http.fast_path import FastPath

WAITING = 25
"""Requests that may wait, per thread; the server refuses more at once."""


class OverloadedError(Error):  # type: ignore[misc] # waitress has no types
    """More requests wait than the threads can answer in time."""

    code = 503
    reason = "Service Unavailable"


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Hands requests to threads, except those answered from memory: the loop answers these itself.

    They are therefore answered whatever the threads do. The loop also answers requests that the parser refuses.

    Args:
        from_memory: whether a path is answered from memory.
        fast_path: answers the plain requests among these.
        threads: their number.
        room: maximum number of connections; waiting requests use at most half of it.
    """

    def __init__(self, from_memory: Callable[[str], bool], fast_path: FastPath, threads: int, room: int) -> None:
        super().__init__()
        self._from_memory = from_memory
        self._fast_path = fast_path
        self._max_queue = min(WAITING * threads, max(1, room // 2 - threads))
        self.loop_thread = 0

    def add_task(self, task: Channel) -> None:
        """See waitress. The caller may hold `task.requests_lock`."""
        if task.closing:
            # What follows a refused request may be a second interpretation of the same bytes.
            task.requests.clear()
            return
        if task.total_outbufs_len > limits.UNREAD_BYTES:
            task.requests.clear()
            task.close_when_flushed = True
            return
        if threading.get_ident() == self.loop_thread:
            # Never in a thread of the pool: a hundred pipelined requests would nest as many calls.
            request = task.requests[0]
            immediate = request.error is not None or self._from_memory(request.path)
            if not immediate and len(self.queue) >= self._max_queue:
                request.error, request.problem, immediate = OverloadedError("overloaded"), "overloaded", True
            if immediate:
                plain = request.error is None and not request.cut and not task.server.draining
                response = self._fast_path.respond(request) if plain else None
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
        """Whether a thread is working, or a request waits for one."""
        return bool(self.queue) or self.active_count > 0
