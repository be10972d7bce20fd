"""The contract and the service agree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from service import __version__
from service.app import Parts, create_app
from service.database import connect
from service.settings import Settings
from tests.service.process import NOTES, Service

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "service" / "openapi.json").read_text())


def test_routes_and_contract_agree(settings: Settings) -> None:
    app = create_app(Parts(settings, None, None, None, None))  # type: ignore[arg-type] # no route is called
    routes = {(re.sub(r"<(\w+)(:[^>]*)?>", r"{\1}", route.rule), route.method) for route in app.routes}
    ours = {(re.sub("{name}", "{component}", rule), method) for rule, method in routes if method != "OPTIONS"}
    contract = {(path, method.upper()) for path, methods in CONTRACT["paths"].items() for method in methods}
    # two names below /health/ have answers of their own shape, and one route
    assert contract - ours == {("/health/ready", "GET"), ("/health/all", "GET")}
    assert ours - contract == set()


def test_contract_has_the_version_of_the_service() -> None:
    assert CONTRACT["info"]["version"] == __version__


def test_service_returns_its_contract(known: Service) -> None:
    assert known.request("/openapi.json").json == CONTRACT


def test_answers_follow_the_contract(known: Service, tmp_path: Path) -> None:
    connection = connect(known.settings.database, 10)
    connection.run(
        "INSERT INTO history_incident (component, started_at, worst, code) VALUES ('db', now(), 'fail', 'x')"
    )
    connection.close()
    words = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{known.port}/openapi.json"]
    words += ["--checks", "all", "--max-examples", "25", "--workers", "1", "--seed", "1", "--no-color"]
    words += ["--header", f"Authorization: Bearer {NOTES}"]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    said = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=170
    )
    assert said.returncode == 0, said.stdout[-6000:] + said.stderr[-2000:]
    assert known.status("/health") == 200
