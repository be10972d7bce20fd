"""`./inv support`: one file that says everything somebody needs to help, and no secret."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from stackhand import ROOT, console, doctor, dotenv, engines, inherited, schema, settings, status
from stackhand.engines.engine import Engine
from stackhand.failure import Failure
from stackhand.loglines import tail
from stackhand.program import VERSION
from stackhand.state import State
from stackhand.values import SHORTEST_SECRET, may_be_shown

LINES_OF_A_LOG = 2_000
MASK = "********"
SHORTEST_MASKED = 4
"""Of a given secret, which may be short; what is still shorter would be found in every other word."""
EXAMPLE = ROOT / ".env.example"


def support() -> None:
    """Write the file, and say where it is."""
    state = State(ROOT)
    state.make()
    path = state.directory / f"support-{datetime.now(UTC):%Y%m%dT%H%M%S}.zip"
    draft = path.with_suffix(".tmp")
    secrets = _secrets()
    try:
        draft.touch(0o600)
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as file:
            for name, part in _parts(state):
                file.writestr(name, _masked(_text(part), secrets))
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    console.say(
        f"{path.relative_to(ROOT)}: {path.stat().st_size / 1024:.0f} KiB, no secrets; look into it, then attach it"
    )


Part = Callable[[], str]


def _parts(state: State) -> Iterator[tuple[str, Part]]:
    yield "versions.json", lambda: json.dumps(_versions(), indent=2)
    yield "doctor.json", lambda: json.dumps([asdict(check) for check in doctor.examine()], indent=2)
    yield "status.json", lambda: json.dumps(status.snapshot(), indent=2)
    yield "settings.env", _settings
    for path in (ROOT / "docker-compose.yml", state.directory / "supervisord.conf", state.file):
        if path.exists():
            yield path.name, partial(path.read_text, encoding="utf-8", errors="replace")
    for path in sorted(state.logs.glob("*.log")):
        yield f"logs/{path.name}", partial(_end_of, path)
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


def _masked(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _end_of(path: Path) -> str:
    return "\n".join(tail(path, LINES_OF_A_LOG))


def _lines(engine: Engine, name: str) -> str:
    return "\n".join(line.text for line in engine.lines(name, LINES_OF_A_LOG))


def _versions() -> dict[str, object]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        env=inherited.environment("git"),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return {
        "stackhand": VERSION,
        "commit": commit.stdout.strip() or "unknown",
        "python": sys.version,
        "platform": platform.platform(),
        "uid": os.getuid(),
        "locale": {name: os.environ.get(name) for name in ("LANG", "LC_ALL", "TERM")},
        "packages": dict(sorted((each.name, each.version) for each in distributions())),
    }


def _settings() -> str:
    path = ROOT / ".env"
    if not settings.present(path):
        return "# there is no .env\n"
    values, problems = dotenv.parse(path.read_text(encoding="utf-8", errors="replace"))
    entries = schema.read(EXAMPLE)
    shown = {key for key, value in values.items() if key in entries and may_be_shown(entries[key].kind, value)}
    lines = [f"{key}={value if key in shown else MASK}" for key, value in values.items()]
    return "\n".join([*lines, *(f"# line {each.line}: {each.key} {each.message}" for each in problems)]) + "\n"


def _secrets() -> list[str]:
    """Return the secrets' values, to be found wherever they may stand: as they are, as in JSON, as in a URL.

    Of a setting that the example does not know nobody has said whether it is one.
    """
    path = ROOT / ".env"
    text = path.read_text(encoding="utf-8", errors="replace") if settings.present(path) else ""
    values, _ = dotenv.parse(text)
    entries = schema.read(EXAMPLE)
    found: set[str] = set()
    for key in {*values, *entries}:
        entry = entries.get(key)
        shortest = SHORTEST_MASKED if entry else SHORTEST_SECRET
        for value in (values.get(key, ""), os.environ.get(key, "")):
            if entry is None or not may_be_shown(entry.kind, value):
                found |= {each for each in (value, *_passwords(value)) if len(each) >= shortest}
    forms = {form for value in found for form in (value, json.dumps(value)[1:-1], quote(value, safe=""))}
    return sorted(forms, key=len, reverse=True)


def _passwords(url: str) -> list[str]:
    """Return the password in a URL, as it stands there and as it is meant: a log may have it alone."""
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return []
    return [password, unquote(password)]
