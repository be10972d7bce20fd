"""The stand-in for Terraform's providers, with the schemas of what our files name and no others.

It lies beside the checkout, where there is one. Each run of Terraform reads the whole schema of a provider, 1,735
types of which we have sixty: a plan takes a third less without the others. It starts as many servers as there are
providers, and looks for a Python with its packages, where the one of its first run is known.
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
PROVIDER = r'"hashicorp/(\w+)"'
PROGRAM = """#!/bin/sh
set -eu
case $1 in version | output) exec terraform "$@" ;; esac # they need no provider, which takes a second to start
here=$(dirname -- "$0")
made=${TFOFFLINE_CACHE:-${HOME:-}/.cache/tfoffline}/venv
[ -e "$made/ready-live" ] || exec "$here/terraform-offline" "$@" # which makes it
exec "$made/bin/python" "$here/terraform-offline" "$@"
"""


@functools.cache
def program() -> Path | None:
    """Return the program to run in Terraform's place, made on first use; None where there is no stand-in."""
    if not (ORIGINAL / "terraform-offline").exists():
        return None
    text = "\n".join(path.read_text(encoding="utf-8") for path in _files())
    named = sorted({*re.findall(r"\baws_\w+", text), *re.findall(PROVIDER, text)})
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
        for other in {path for path in schema.parent.iterdir() if path.name.partition(".")[0] not in named}:
            other.unlink()
        (copy / "terraform").write_text(PROGRAM, encoding="utf-8")
        for each in ("terraform", "terraform-offline"):
            (copy / each).chmod(0o755)
        if not place.exists():
            copy.rename(place)
