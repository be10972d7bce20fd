"""The support matrix of Compose's keys, as docs/compose-support.md has it.

`python -m tests.docs.support` writes the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stackhand.project.compose.composekeys import TARGETS, TOP_LEVEL, Support
from tests.checkout import ROOT

DOCUMENT = ROOT / "docs" / "compose-support.md"
INTRODUCTION = """# Support for the Compose file

Generated from `stackhand/project/compose/composekeys.py` by `python -m tests.docs.support`.

Compose resolves the files: `include`, `extends`, override files, anchors, profiles, `env_file` and variables work on
every target. On the compose engine, Compose also runs the services, and every key has its usual effect. The tables say
what the other targets make of each key: **same**, **differs** (how), **ignored** (what you lose) or **refused** (why).

- **embedded**: the services with `x-embedded`, as processes of this machine.
- **aws**: the services with `x-aws`, on ECS Fargate.
- **host**: all services, on one Linux machine. This target does not exist yet.

`./inv doctor` lists the keys of your services that these targets treat differently; `./inv plan` adds what follows for
each service on AWS.
"""


def document() -> str:
    """Return the whole file."""
    parts = [
        INTRODUCTION,
        "## Keys of a service\n",
        *_table(TARGETS),
        "\n## Keys beside services\n",
        *_table(TOP_LEVEL),
    ]
    return "\n".join(parts) + "\n"


def _table(targets: Mapping[str, Mapping[str, Support]]) -> Iterator[str]:
    yield f"| key | {' | '.join(targets)} | host |"
    yield "|---" * (len(targets) + 2) + "|"
    for key in sorted(targets["compose"]):
        yield f"| `{key}` | " + " | ".join(_cell(support[key]) for support in targets.values()) + " | - |"


def _cell(support: Support) -> str:
    return f"{support.level}: {support.message}" if support.message else str(support.level)


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
