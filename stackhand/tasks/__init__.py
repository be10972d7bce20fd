"""The namespaces of verbs: db, cache, bench."""

import sys
from types import ModuleType


def _import_invoke() -> None:
    """Import Invoke without the Mock of its MockContext, which would load asyncio and TLS: a sixth of each start."""
    if "unittest.mock" in sys.modules:
        return
    stub = ModuleType("unittest.mock")
    stub.Mock = object  # type: ignore[attr-defined]
    sys.modules[stub.__name__] = stub
    try:
        import invoke.context  # noqa: F401
    finally:
        del sys.modules[stub.__name__]


_import_invoke()
