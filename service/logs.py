"""The log of the service: one JSON object per line on stdout; coloured text on a terminal.

A separate thread writes the lines: a full pipe must not block the loop that answers /health.
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

QUEUE_SIZE = 10_000
"""Lines that may wait; more are dropped and counted."""
FLUSH_TIMEOUT = 1.0


class LogWriter:
    """A file that never blocks.

    Args:
        out: receives the lines.
    """

    def __init__(self, out: TextIO) -> None:
        self.dropped = 0
        self._out = out
        self._lines: queue.Queue[str | None] = queue.Queue(QUEUE_SIZE)
        self._thread = threading.Thread(target=self._write_forever, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Queue a text; drop it if the queue is full."""
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            self.dropped += 1

    def flush(self) -> None:
        """Do nothing: the thread flushes after each line."""

    def isatty(self) -> bool:
        """Return whether the output is a terminal."""
        return self._out.isatty()

    def close(self) -> None:
        """Write the waiting lines, within a second."""
        deadline = time.monotonic() + FLUSH_TIMEOUT
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
                self.dropped += 1  # stdout is closed: there is no one to notify


def configure(level: str, out: TextIO | None = None) -> LogWriter:
    """Set up structlog, also for records of the standard library such as those of waitress.

    Args:
        level: the lowest level to write: debug, info, warning or error.
        out: default: stdout.
    """
    writer = LogWriter(out or sys.stdout)
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
        # An exception becomes fields, because a line break would end the line of the log. Local variables are excluded:
        # they contain secrets, and some take for ever to print (bottle.Route, whose handler is a closure).
        fields = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        shared += [structlog.processors.ExceptionRenderer(fields), _in_order]
        renderer = structlog.processors.JSONRenderer()
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type] # it has the methods that structlog needs
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(writer)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    threading.excepthook = _log_thread_exception
    # it logs every request that waits for a thread; /metrics has the number
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return writer


def _log_thread_exception(failed: threading.ExceptHookArgs) -> None:
    """Log an uncaught exception of a thread; Python would write many lines that are not JSON."""
    name = failed.thread.name if failed.thread else ""
    error = failed.exc_value or failed.exc_type()
    structlog.get_logger().error("thread failed", thread=name, exc_info=error)


def _in_order(_logger: object, _method: str, fields: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put the common fields first, for people who read raw lines."""
    first = {name: fields.pop(name) for name in ("time", "level", "event") if name in fields}
    return {**first, **fields}
