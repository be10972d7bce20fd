"""What of a stack each target carries otherwise than Compose, by the support matrix in composekeys.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stackhand.project.compose.composekeys import TARGETS, UNKNOWN, Level, Support


def differing(target: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Support]]:
    """Yield the keys of a service that a target does not carry as Compose does.

    Args:
        target: a key of TARGETS.
        entry: the service as its file has it.
    """
    for key, value in entry.items():
        support = TARGETS[target].get(key, UNKNOWN)
        if not key.startswith("x-") and value not in (None, [], {}, False) and support.level is not Level.SAME:
            yield key, support


def lines(target: str, services: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what a target makes of a stack: a line for each consequence, and one for all that only differs.

    Args:
        target: a key of TARGETS.
        services: those that it runs, as their file has them.
    """
    lost: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    different: set[str] = set()
    for name, entry in services.items():
        for key, support in differing(target, entry):
            if support.level is Level.DIFFERS:
                different.add(key)
            else:
                lost[support.message][key].append(name)
    output = [f"{', '.join(sorted(keys))} of {_names(keys.values())}: {message}" for message, keys in lost.items()]
    return sorted(output) + (
        [f"different: {', '.join(sorted(different))} (docs/compose-support.md)"] if different else []
    )


def _names(services: Iterable[Iterable[str]]) -> str:
    return ", ".join(sorted({name for each in services for name in each}))
