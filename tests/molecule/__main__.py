"""What Molecule's scenarios have done in Python: `python -m tests.molecule create|look FOLDER ENGINE`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.checkout import Checkout, docker

ITS_OWN = re.compile(r"^\.stackhand/((data|logs)/|resolved(/|$))|(^|/)__pycache__(/|$)")
"""What a running stack writes by itself, and what is kept for speed: Compose's answers, compiled Python."""


def create(path: Path, engine: str) -> None:
    """Copy the checkout, for a stack on an engine."""
    Checkout.make(path, engine=engine)


def look(path: Path, engine: str) -> None:
    """Print what the roles may change, a line each: files with the time of their last change, and containers."""
    print(*_files(path), sep="\n")
    if engine == "compose":
        mine = f"label=com.docker.compose.project={Checkout(path, {}, engine).name}"
        print(docker("ps", "--all", "--no-trunc", "--filter", mine, "--format", "{{.ID}} {{.Names}}"))


def _files(path: Path) -> Iterator[str]:
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if not ITS_OWN.search(name):
            yield f"{file.lstat().st_ctime_ns} {name}"


if __name__ == "__main__":
    {"create": create, "look": look}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
