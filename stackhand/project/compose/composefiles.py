"""Which files Compose reads for a project: its Compose files, our overlay over them, and the files of variables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from stackhand.project.compose import envfile
from stackhand.system import roots
from stackhand.system.roots import CONTENT

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""Where Compose looks for its file, in this order; the first one counts."""
OVERRIDES = (
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)
"""What Compose lays over that file, wherever it finds one; the first one counts."""
OVERLAY = "compose.stackhand.yaml"
"""What we lay over all of them where a project has it: the `x-` fields, so that nobody's own files are edited."""


def files(root: Path) -> list[str]:
    """Return the names of a project's Compose files, as Compose finds them, with our overlay as the last one.

    Those that they include come on top.
    """
    own = own_files(root)
    return [*own, OVERLAY] if own and OVERLAY not in own and (root / OVERLAY).is_file() else own


def own_files(root: Path) -> list[str]:
    """Return the names of the Compose files without our overlay."""
    variables = _variables(root)
    if given := variables.get("COMPOSE_FILE", ""):
        return [each for each in given.split(_separator(variables)) if each]
    return [
        *next(([each] for each in NAMES if (root / each).is_file()), []),
        *next(([each] for each in OVERRIDES if (root / each).is_file()), []),
    ]


def label(root: Path) -> str:
    """Return what messages call the Compose files."""
    return ", ".join(files(root)) or NAMES[0]


def overlay_variables(root: Path) -> dict[str, str]:
    """Return the variables by which Compose reads our overlay too; none where a project has no overlay."""
    read = files(root)
    if OVERLAY not in read:
        return {}
    return {**named(root, read), "STACKHAND_CONTENT": str(CONTENT), "STACKHAND_PAGE": str(roots.part("web").parent)}


def chosen(root: Path) -> dict[str, str]:
    """Return the variables of `.env` or the shell that name the Compose files, relative to the project."""
    variables, names = _variables(root), ("COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR")
    return {name: variables[name].replace(f"{root}/", "") for name in names if name in variables}


def named(root: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the variables that name these Compose files."""
    separator = _separator(_variables(root))
    return {"COMPOSE_FILE": separator.join(names), "COMPOSE_PATH_SEPARATOR": separator}


def settings(root: Path) -> dict[str, str]:
    """Return the values of `.env`; none where it cannot be read, which whoever needs it reports."""
    try:
        return envfile.read((root / ".env").read_text(encoding="utf-8"), root)[0]
    except (OSError, UnicodeDecodeError):
        return {}


def _variables(root: Path) -> dict[str, str]:
    return {**settings(root), **os.environ}


def env_files(root: Path) -> dict[str, str]:
    """Return the variable by which each Compose reads the project's `.env` where its Compose file is in another folder.

    There, the oldest version reads the `.env` beside that file, and newer ones both, of which the project's wins.
    """
    first = next(iter(own_files(root)), "")
    folder = Path(first).parent
    if "COMPOSE_ENV_FILES" in _variables(root) or not first or (root / folder) == root:
        return {}
    both = [str(each / ".env") for each in (folder, Path()) if (root / each / ".env").is_file()]
    return {"COMPOSE_ENV_FILES": ",".join(both)} if both else {}


def _separator(variables: Mapping[str, str]) -> str:
    return variables.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
