"""`./inv support`: one file that says everything somebody needs to help; known secrets are redacted."""

from __future__ import annotations

import json
import os
import platform
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from stackhand import redaction, version
from stackhand.cli import console
from stackhand.cli.failure import Failure
from stackhand.cli.loglines import tail
from stackhand.local import doctor, engines, status
from stackhand.local.engines.engine import Engine
from stackhand.project import dotenv, inherited, passthrough, schema
from stackhand.project.compose import envfile
from stackhand.project.state import State
from stackhand.project.values import may_be_shown
from stackhand.redaction import Redactor
from stackhand.system import program
from stackhand.system.roots import PROJECT

LINES_OF_A_LOG = 2_000
LARGEST_PART = 1 << 20
"""Characters; of a longer one the end is kept."""
EXAMPLE = PROJECT / ".env.example"


def support() -> None:
    """Write the file, and say where it is."""
    state = State(PROJECT)
    state.make()
    path = state.directory / f"support-{datetime.now(UTC):%Y%m%dT%H%M%S}.zip"
    draft = path.with_suffix(".tmp")
    redaction.remember()
    redactor = Redactor.of(PROJECT, doubtful=True)
    try:
        draft.touch(0o600)
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            for name, part in _parts(state, redactor):
                file.writestr(name, redactor.text(_end(_text(part))))
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    console.write(
        f"{path.relative_to(PROJECT)}: {path.stat().st_size / 1024:.0f} KiB, known secrets are redacted; "
        "read it, then attach it"
    )
    if redactor.weak:
        console.write(
            f"too short or common to redact except after their names: {', '.join(redactor.weak)}; "
            "check for these yourself"
        )


Part = Callable[[], str]


def _parts(state: State, redactor: Redactor) -> Iterator[tuple[str, Part]]:
    yield "versions.json", lambda: _json(_versions(), redactor)
    yield "doctor.json", lambda: _json([asdict(check) for check in doctor.examine()], redactor)
    yield "status.json", lambda: _json(status.snapshot(), redactor)
    yield "settings.env", _settings
    for path in (*sorted(PROJECT.glob(passthrough.FILES)), state.directory / "supervisord.conf", state.file):
        if path.exists():
            yield path.name, partial(path.read_text, encoding="utf-8", errors="replace")
    for path in sorted(state.logs.glob("*.log")):
        yield f"logs/{path.name}", partial(_end_of, path)
    with suppress(Failure):  # a state.json that somebody broke is one of the parts
        engine = engines.remembered(state)
        for name in engine.started():
            if not (state.logs / f"{name}.log").exists():  # a container's log is with the container engine
                yield f"logs/{name}.log", partial(_lines, engine, name)


def _text(part: Part) -> str:
    """Return a part; what kept it from being had stands in its place, for that is what a helper looks for."""
    try:
        return part()
    except Failure as failure:
        return f"{failure.text()}\n"
    except Exception:
        return traceback.format_exc()


def _json(document: Any, redactor: Redactor) -> str:
    return json.dumps(redactor.data(document), indent=2)


def _end(text: str) -> str:
    """Return the end of a long text, from the begin of a line: half a secret would not be known."""
    if len(text) <= LARGEST_PART:
        return text
    begin, _, rest = text[-LARGEST_PART:].partition("\n")
    return rest or f"(a line of {len(text)} characters is skipped)\n" if begin else rest


def _end_of(path: Path) -> str:
    return "\n".join(tail(path, LINES_OF_A_LOG))


def _lines(engine: Engine, name: str) -> str:
    return "\n".join(line.text for line in engine.lines(name, LINES_OF_A_LOG))


def _versions() -> dict[str, object]:
    describe = ["git", "describe", "--always", "--dirty"]
    commit = program.run(describe, environment=inherited.environment("git"), folder=PROJECT)
    return {
        "stackhand": str(version.current()),
        "commit": commit.stdout.strip() or "unknown",
        "python": sys.version,
        "platform": platform.platform(),
        "uid": os.getuid(),
        "locale": {name: os.environ.get(name) for name in ("LANG", "LC_ALL", "TERM")},
        "packages": dict(sorted((each.name, each.version) for each in distributions())),
    }


def _settings() -> str:
    path = PROJECT / ".env"
    if not dotenv.present(path):
        return "# there is no .env\n"
    values, problems = envfile.read(path.read_text(encoding="utf-8", errors="replace"))
    entries = schema.read(EXAMPLE)
    shown = {key for key, value in values.items() if key in entries and may_be_shown(entries[key].kind, value)}
    lines = [f"{key}={value if key in shown else f'<{key} redacted>'}" for key, value in values.items()]
    return "\n".join([*lines, *(f"# line {each.line}: {each.key} {each.message}" for each in problems)]) + "\n"
