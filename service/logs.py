"""The service's log: one JSON object a line on stdout; coloured text when stdout is a terminal.

Lines are written by a thread of their own: a pipe that nobody empties must not hold up the loop that answers /health.
"""

from __future__ import annotations

import atexit
import logging
import queue
import sys
import threading
import time
from typing import TextIO

import structlog

WAITING = 10_000
"""Lines that may wait to be written; more are dropped, and counted."""
FLUSH_WITHIN = 1.0


class Writer:
    """A file that never makes its user wait.

    Args:
        out: where the lines go.
    """

    def __init__(self, out: TextIO) -> None:
        self.dropped = 0
        self._out = out
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._write_forever, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Have a text written soon; it is dropped when too many wait."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self.dropped += 1

    def flush(self) -> None:
        """Do nothing: the thread flushes after each line."""

    def isatty(self) -> bool:
        """Whether a person is reading."""
        return self._out.isatty()

    def close(self) -> None:
        """Write what waits, within a second."""
        deadline = time.monotonic() + FLUSH_WITHIN
        while time.monotonic() < deadline:
            try:
                self._lines.put_nowait(None)
                break
            except queue.Full:
                time.sleep(0.01)
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _write_forever(self) -> None:
        while (text := self._lines.get()) is not None:
            try:
                self._out.write(text)
                if self._lines.empty():
                    self._out.flush()
            except (OSError, ValueError):
                self.dropped += 1  # stdout is closed: there is nobody to tell


def configure(level: str, out: TextIO | None = None) -> Writer:
    """Set up structlog and send the standard library's records, waitress's among them, the same way.

    Args:
        level: the lowest that is written: debug, info, warning or error.
        out: where to; stdout unless given.
    """
    writer = Writer(out or sys.stdout)
    atexit.register(writer.close)
    terminal = writer.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    if terminal:
        renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer()
    else:
        # An exception as fields, so that no line break of it ends a line of the log. Without the variables: they have
        # secrets, and to print some of them takes for ever (bottle.Route, whose handler is a closure).
        fields = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared += [structlog.processors.ExceptionRenderer(fields), _in_order]
        renderer = structlog.processors.JSONRenderer()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type] # as much of a file as it needs
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(writer)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    threading.excepthook = _tell_of_a_thread
    # a line for each request that waits for a thread: /metrics has the number
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return writer


def _tell_of_a_thread(failed: threading.ExceptHookArgs) -> None:
    """Log what a thread did not catch; Python would write many lines that are no JSON."""
    name = failed.thread.name if failed.thread else ""
    error = failed.exc_value or failed.exc_type()
    structlog.get_logger().error("thread failed", thread=name, exc_info=error)


def _in_order(_logger: object, _method: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put what every line has in front, for people who read the lines as they are."""
    first = {name: fields.pop(name) for name in ("time", "level", "event") if name in fields}
    return {**first, **fields}
