"""Import Invoke without what it imports and we do without; `stackhand.tasks` does that first."""

import sys
from types import ModuleType
from typing import Any


def _yaml(stream: Any) -> Any:
    import yaml

    return yaml.safe_load(stream)


STUBS: dict[str, dict[str, Any]] = {
    "unittest.mock": {"Mock": object},  # of its MockContext: asyncio and TLS
    "importlib.metadata": {"version": lambda _: ""},  # of Invoke itself, which nobody is told: mail and zip files
    "invoke.vendor.yaml": {"safe_load": _yaml},  # a copy of PyYAML, for files of settings that hardly anybody has
}
"""What Invoke imports and we do without: half of the time that each start takes."""


def _import_invoke() -> None:
    """Import Invoke without what stands in STUBS, as far as nobody has imported that before."""
    made = {name: ModuleType(name) for name in STUBS if name not in sys.modules}
    for name, module in made.items():
        vars(module).update(STUBS[name])
    sys.modules.update(made)
    try:
        import invoke.context  # noqa: F401
    finally:
        for name in made:
            del sys.modules[name]


_import_invoke()
