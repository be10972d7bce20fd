"""The stand-in for Terraform's providers, with the schemas of what our files name and no others.

It lies beside the checkout, where there is one. Each run of Terraform reads the whole schema of a provider, 1,735
types of which we have sixty: a plan takes a third less without the others.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

from tests.checkout import ROOT

ORIGINAL = ROOT.parent / "shared" / "terraform-offline"
NAMED_IN = ("terraform/**/*.tf", "terraform/**/*.hcl", "tests/**/*.py", "tests/**/*.toml", "tests/**/*.tf")
PROGRAM = """#!/bin/sh
set -eu
case $1 in version | output) exec terraform "$@" ;; esac # they need no provider, which takes a second to start
exec "$(dirname -- "$0")/terraform-offline" "$@"
"""


@functools.cache
def program() -> Path | None:
    """Return the program to run in Terraform's place, made on first use; None where there is no stand-in."""
    if not (ORIGINAL / "terraform-offline").exists():
        return None
    named = sorted({name for path in _files() for name in re.findall(r"\baws_\w+", path.read_text(encoding="utf-8"))})
    sources = "".join(f"{each.name} {each.stat().st_mtime_ns}" for each in sorted(ORIGINAL.glob("**/*.*")))
    digest = hashlib.sha256(f"{named}{sources}{PROGRAM}".encode()).hexdigest()[:16]
    place = ROOT / ".venv" / "stand-in" / digest
    if not place.exists():
        _make(place, set(named))
    return place / "terraform"


def _files() -> list[Path]:
    return [path for pattern in NAMED_IN for path in ROOT.glob(pattern)]


def _make(place: Path, named: set[str]) -> None:
    """Make the copy, whole or not at all: several workers may do so at once."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ORIGINAL, copy, copy_function=shutil.copyfile)
        schema = copy / "schema" / "aws.json.gz"
        content = json.loads(gzip.decompress(schema.read_bytes()))
        for kind in ("resources", "data", "ephemeral"):
            content[kind] = {name: each for name, each in content[kind].items() if name in named}
        schema.write_bytes(gzip.compress(json.dumps(content).encode()))
        (copy / "terraform").write_text(PROGRAM, encoding="utf-8")
        for each in ("terraform", "terraform-offline"):
            (copy / each).chmod(0o755)
        if not place.exists():
            copy.rename(place)
