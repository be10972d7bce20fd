"""The two roots: the content, which is what Stackhand brings, and the project, which is the user's repository.

In Stackhand's own repository they are one folder. Nothing else computes either of them.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "STACKHAND_PROJECT"
"""Names the project for a process that need not run inside of it; those that we start for one get it from us."""
LOCK = "stackhand.lock"
"""What a project that has adopted Stackhand has, and nothing else does."""
_PACKAGE = Path(__file__).resolve().parent.parent


def content(package: Path = _PACKAGE) -> Path:
    """Return the folder of playbooks, roles, plugins, terraform, service and web.

    Args:
        package: the folder of this Python package: in a checkout it stands beside them, and a wheel has them as a
            collection of Ansible.
    """
    checkout = package.parent
    return checkout if (checkout / "playbooks").is_dir() else checkout / "ansible_collections" / "stackhand" / "ops"


def project(folder: Path, brought: Path) -> Path:
    """Return the project: the folder with `stackhand.lock` at or above a folder, and that folder where there is none.

    Args:
        folder: where to begin, such as the working directory.
        brought: the content; a checkout is its own project, wherever one stands.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).resolve()
    if (brought / "stackhand").is_dir():
        return brought
    return next((each for each in (folder, *folder.parents) if (each / LOCK).is_file()), folder)


CONTENT = content()
IS_CHECKOUT = _PACKAGE.parent == CONTENT
"""Whether this is a checkout of Stackhand's own repository, and not an installed package."""
PROJECT = project(Path.cwd(), CONTENT)
DEVELOPING = IS_CHECKOUT and PROJECT == CONTENT
"""Whether the project is this checkout itself, and so Stackhand's own tests and linters are meant."""
EJECTED = PROJECT / "ops"
"""Where `./inv eject` puts parts of the content, which then win."""
PARTS = {"roles": "roles", "playbooks": "playbooks", "terraform": "terraform", "page": "web"}
"""The parts that can be ejected, and their folders."""
NAME = "inv" if (PROJECT / "inv").is_file() else "stackhand"
"""The program of this project: its script `inv` or, before it has one, the command of the package."""
COMMAND = f"./{NAME}" if NAME == "inv" else NAME
"""What somebody types to run it."""


def part(folder: str) -> Path:
    """Return where a part of the content is: in the project, where it was ejected, and in the content otherwise."""
    own = EJECTED / folder
    return own if not IS_CHECKOUT and own.is_dir() else CONTENT / folder
