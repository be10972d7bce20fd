"""`images.lock`: the digests of the images that a release's images are built on."""

from __future__ import annotations

import re
from pathlib import Path

from stackhand import ROOT
from stackhand.cli.failure import ExitCode, Failure

FILE = "images.lock"
LINE = re.compile(r"(?P<image>[^\s@]+:[^\s:/@]+) (?P<digest>sha256:[0-9a-f]{64})")


def read(root: Path = ROOT) -> dict[str, str]:
    """Return the digest of each image that the file pins, by name and tag; none without the file.

    Raises:
        Failure: a line is not `IMAGE:TAG sha256:DIGEST`, or an image is there twice.
    """
    path, pins = root / FILE, dict[str, str]()
    if not path.exists():
        return pins
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None or match["image"] in pins:
            raise Failure(
                f"{FILE} is not valid.",
                evidence=[f"line {number}: {line}", "a line is IMAGE:TAG sha256:DIGEST, each image once"],
                next=f"correct {FILE}, then repeat the command",
                code=ExitCode.PREFLIGHT,
            )
        pins[match["image"]] = match["digest"]
    return pins
