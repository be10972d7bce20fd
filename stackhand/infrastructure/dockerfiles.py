"""What a service's image is built on and runs as, as far as its Dockerfile says without being built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stackhand.project import passthrough
from stackhand.project.model import Build, Service

TARGET = "production"
"""The stage that is released, where a Dockerfile has one of that name; otherwise the last one."""
FROM = re.compile(r"FROM\s+(?:--\S+\s+)*(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?\s*", re.IGNORECASE)
USER = re.compile(r"USER\s+(\S+)\s*", re.IGNORECASE)
ARG = re.compile(r"ARG\s+(.+)", re.IGNORECASE)


@dataclass(frozen=True)
class Released:
    """The image of a service.

    Args:
        base: the image that it is, or is built on.
        user: whom its Dockerfile makes it run as; empty where it does not say.
        file: the Dockerfile, for messages; empty for an image that is not built.
    """

    base: str
    user: str = ""
    file: str = ""

    @property
    def name(self) -> str:
        """The last part of the base image's name, which says what it is."""
        return self.base.partition("@")[0].rpartition("/")[2].partition(":")[0]


def released(service: Service, root: Path) -> Released | None:
    """Return the image that a release of a service runs; None where no file here says what it is.

    Args:
        service: which.
        root: the project.
    """
    if service.build is None:
        return Released(service.image) if service.image else None
    file = str(Path(service.build.context) / service.build.dockerfile)
    text = passthrough.content(root / file)
    return _read(text, service.build, file) if text else None


def _read(text: str, build: Build, file: str) -> Released | None:
    stages: list[tuple[str, Released]] = []
    defaults: dict[str, str] = {}
    for line in _instructions(text):
        if match := FROM.fullmatch(line):
            base = passthrough.expanded(match["base"], {**defaults, **build.args})
            earlier = next((each for name, each in stages if name == base.lower()), None)
            stages.append(((match["name"] or "").lower(), earlier or Released(base, file=file)))
        elif (match := USER.fullmatch(line)) and stages:
            name, stage = stages[-1]
            stages[-1] = name, Released(stage.base, match[1], file)
        elif (match := ARG.fullmatch(line)) and not stages:
            defaults |= _defaults(match[1])
    last = stages[-1][1] if stages else None
    return next((each for name, each in stages if name == TARGET), last)


def _instructions(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [each.strip() for each in re.sub(r"\\\s*\n", " ", "\n".join(lines)).splitlines()]


def _defaults(words: str) -> Mapping[str, str]:
    pairs = (each.partition("=") for each in words.split())
    return {name: value.strip("\"'") for name, _, value in pairs}
