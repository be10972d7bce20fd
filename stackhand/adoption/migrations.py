"""How a framework migrates its database, known by the files it has in a project."""

from __future__ import annotations

import json
from pathlib import Path

SCRIPTS = ("migrate", "db:migrate", "migrate:deploy", "migrations:run")
"""Names of scripts in a package.json, the likeliest first."""


def command(folder: Path) -> str:
    """Return the command that applies the pending migrations of the code in a folder; nothing where none is known."""
    if (folder / "manage.py").is_file():
        return "python manage.py migrate"
    if (folder / "alembic.ini").is_file():
        return "alembic upgrade head"
    if (folder / "bin" / "rails").is_file():
        return "bin/rails db:migrate"
    if (folder / "artisan").is_file():
        return "php artisan migrate --force"
    return _of_npm(folder / "package.json")


def _of_npm(path: Path) -> str:
    try:
        scripts = json.loads(path.read_text(encoding="utf-8")).get("scripts") or {}
    except (OSError, ValueError, AttributeError):
        return ""
    name = next((each for each in SCRIPTS if each in scripts), "")
    return f"npm run {name}" if name else ""
