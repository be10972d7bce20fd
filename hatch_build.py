"""Hatchling's hook: records version and commit in the package, which has no git to ask."""

from __future__ import annotations

import json
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RecordVersion(BuildHookInterface):
    """Puts `stackhand/version.json` into an sdist and a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write it outside of the checkout; a wheel built from an sdist has that one's."""
        package = Path(self.root) / "stackhand"
        source = runpy.run_path(str(package / "version.py"))
        if version == "editable" or (package / source["RECORD"]).exists():
            return
        self._folder = tempfile.TemporaryDirectory()
        record = Path(self._folder.name) / source["RECORD"]
        record.write_text(json.dumps(source["of"](package)._asdict()), encoding="utf-8")
        record.chmod(0o644)
        build_data["force_include"][str(record)] = f"stackhand/{source['RECORD']}"
