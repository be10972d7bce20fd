"""What a run built, as the file of checksums that `actions/attest` signs: `.stackhand/built/subjects.txt`."""

from __future__ import annotations

from collections.abc import Mapping

from stackhand import ROOT

FILE = ROOT / ".stackhand" / "built" / "subjects.txt"


def write(images: Mapping[str, str], bills: Mapping[str, str]) -> None:
    """Write the digests of images and of their bills of materials, in the place of what an earlier run wrote.

    Args:
        images: by their repositories' names; an address has the account's number, and signatures are public.
        bills: likewise.
    """
    FILE.unlink(missing_ok=True)
    lines = [f"{digest.removeprefix('sha256:')}  {name}" for name, digest in images.items()]
    lines += [f"{digest.removeprefix('sha256:')}  {name}.cdx.json" for name, digest in bills.items()]
    if lines:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
