"""The packages of images that were listed before, kept by the images' layers: the same layers are the same files.

Most services of a release are those of the release before, and the engine takes a second for the files of an image.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from stackhand.project import ownership
from stackhand.system.roots import PROJECT

FOLDER = PROJECT / ".stackhand" / "packages"
NEWEST = 50
"""How many images are kept, those that were asked for last."""


class Listed(msgspec.Struct, frozen=True):
    """The packages of an image, as in its bill of materials.

    Args:
        system: such as debian-13.
        components: the packages, sorted.
    """

    system: str
    components: list[dict[str, str]]


def recall(layers: str, reader: Path) -> Listed | None:
    """Return the packages of an image; None where nobody has listed one of these layers with this very reader.

    Args:
        layers: the digests of the layers, as the engine tells them.
        reader: the source of what lists packages.
    """
    if not layers or not ownership.is_closed(FOLDER):
        return None
    path = _file(layers, reader)
    with suppress(OSError, msgspec.MsgspecError):
        known = msgspec.json.decode(path.read_bytes(), type=Listed)
        os.utime(path)
        return known
    return None


def keep(layers: str, reader: Path, packages: Listed) -> None:
    """Keep the packages of an image for the next one of the same layers."""
    if not layers:
        return
    with suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        if ownership.is_closed(FOLDER):
            ownership.write(_file(layers, reader), msgspec.json.encode(packages).decode())
            _forget_oldest()


def _forget_oldest() -> None:
    kept = sorted(FOLDER.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[NEWEST:]:
        path.unlink(missing_ok=True)


def _file(layers: str, reader: Path) -> Path:
    return FOLDER / f"{hashlib.sha256(layers.encode() + reader.read_bytes()).hexdigest()}.json"
