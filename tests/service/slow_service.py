"""`python -m service serve` with additional paths, such as /slow?seconds=N, which occupies a thread for N seconds."""

from __future__ import annotations

import os
import sys
import threading
import time

import bottle

from service import server, startup
from service.http import limits
from service.settings import Settings

make = server.create_app


def with_slow(parts: server.Parts) -> bottle.Bottle:
    app = make(parts)

    @app.get("/slow")
    def slow() -> str:
        time.sleep(float(bottle.request.query["seconds"]))
        return "done"

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("postgresql://secret@host/name")

    @app.get("/thread")
    def thread() -> str:
        threading.Thread(target=broken, name="one-of-ours").start()
        return "done"

    @app.get("/half")
    def half() -> object:
        yield "half"
        raise RuntimeError("in the middle")

    return app


server.create_app = with_slow
if os.environ.get("BROKEN_MIGRATIONS"):
    startup.migrate.read = lambda: {}["a defect"]
limits.HEADER_TIMEOUT = float(os.environ.get("HEADER_TIMEOUT", limits.HEADER_TIMEOUT))
limits.BODY_TIMEOUT = float(os.environ.get("BODY_TIMEOUT", limits.BODY_TIMEOUT))
limits.READ_TIMEOUT = float(os.environ.get("BODY_TIMEOUT", limits.READ_TIMEOUT))
sys.exit(server.serve(Settings.from_environment()))
