"""The score: `python -m tests.oracles`, which `./inv check --mutation` runs; each mistake has a copy of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests import standin
from tests.oracles import environment, seeded

WANTED = 95.0
"""Percent of the mistakes that have to be noticed."""


def main() -> int:
    """Print each mistake and who noticed it, and the score; return 1 when it is too low."""
    terraform = os.environ.get("STACKHAND_TERRAFORM") or str(standin.program() or "")
    if not terraform:
        print("skipped: there is no stand-in for the provider, and the genuine one would ask AWS")
        return 0
    with tempfile.TemporaryDirectory(prefix="sh-") as place:
        folder = environment.copy(Path(place).resolve(), terraform, {})
        verdicts = []
        for each in seeded.one_by_one(environment.mutations(), folder, terraform, {}):
            print(f"{each.mutation.file}: {each.mutation.aws}: {each.found or 'NOT NOTICED'}", flush=True)
            if not each.found:
                print(*(f"    said instead: {line}" for line in each.others), sep="\n", flush=True)
            verdicts.append(each)
    noticed = sum(bool(each.found) for each in verdicts)
    score = 100 * noticed / len(verdicts)
    print(f"terraform/: {score:.1f} %, {noticed} of {len(verdicts)} seeded mistakes noticed")
    return int(score < WANTED)


if __name__ == "__main__":
    sys.exit(main())
