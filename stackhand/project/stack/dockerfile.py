"""What a Dockerfile says of the image built from it, and of what is released (docs.docker.com/reference/dockerfile)."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from stackhand.project.stack.model import Service

OPTION = re.compile(r"^--[a-z-]+=\S+\s+")
VARIABLE = re.compile(r"\$\{?(\w+)(?::-[^}]*)?\}?")
TARGET = "production"
"""The stage that is released, where a Dockerfile has one of that name; otherwise the last one."""


class Image(msgspec.Struct, frozen=True):
    """What an image does by itself."""

    ports: tuple[int, ...] = ()  # of TCP, that EXPOSE names
    healthcheck: str = ""  # the command of HEALTHCHECK; empty where there is none
    command: tuple[str, ...] = ()  # what a container runs: ENTRYPOINT, and CMD as its arguments
    base: str = ""  # the image that it is built on, beneath all of the file's own stages, or that it is
    user: str = ""  # whom it runs as; empty where the file does not say
    file: str = ""  # the Dockerfile, for messages; empty for an image that is not built

    @property
    def name(self) -> str:
        """The last part of the base image's name, which says what it is."""
        return self.base.partition("@")[0].rpartition("/")[2].partition(":")[0]


class _Stage(msgspec.Struct):
    base: str
    name: str
    instructions: list[tuple[str, str]]


def read(path: Path, target: str = "", arguments: Mapping[str, str] | None = None) -> Image:
    """Return what a stage of a Dockerfile says, with the stages that it is built on; nothing where it cannot be read.

    Args:
        path: of the Dockerfile.
        target: the stage; the last one where there is none of that name.
        arguments: of the build, which win over the file's defaults.
    """
    try:
        text = path.read_bytes()
    except OSError:
        return Image()
    stages = list(_stages(text, arguments or {}))
    named = (number for number, each in enumerate(stages) if target and each.name == target.lower())
    return _image(*_whole(stages, next(named, len(stages) - 1))) if stages else Image()


def _stages(text: bytes, arguments: Mapping[str, str]) -> Iterator[_Stage]:
    from dockerfile_parse import DockerfileParser

    stage: _Stage | None = None
    variables: dict[str, str] = {}
    for entry in DockerfileParser(fileobj=io.BytesIO(text)).structure:  # type: ignore[arg-type] # it reads bytes
        name, value = entry["instruction"], entry["value"]
        if name == "FROM":
            if stage:
                yield stage
            base, _, name = re.sub(r"\s+[Aa][Ss]\s+", " as ", OPTION.sub("", value)).partition(" as ")
            stage = _Stage(_expanded(base.strip(), variables), name.strip().lower(), [])
        elif name == "ARG" and not stage:
            variables |= {**_assigned(value), **arguments}
        elif stage:
            stage.instructions.append((name, value))
    if stage:
        yield stage


def _whole(stages: Sequence[_Stage], index: int) -> tuple[str, list[tuple[str, str]]]:
    """Return the image beneath a stage, and its instructions behind those of the stages that it begins with."""
    stage = stages[index]
    names = (number for number in range(index) if stages[number].name and stages[number].name == stage.base.lower())
    below = next(names, None)
    base, before = (stage.base, []) if below is None else _whole(stages, below)
    return base, [*before, *stage.instructions]


def _image(base: str, instructions: Sequence[tuple[str, str]]) -> Image:
    ports: list[int] = []
    variables: dict[str, str] = {}
    last: dict[str, str] = {}
    for name, value in instructions:
        if name in {"ENV", "ARG"}:
            variables |= _assigned(value)
        elif name == "EXPOSE":
            words = [word.removesuffix("/tcp") for word in _expanded(value, variables).split()]
            ports += [int(word) for word in words if word.isdigit()]
        else:
            last[name] = value
            if name == "ENTRYPOINT":
                last.pop("CMD", None)  # of a stage before, which the builder resets
    check = last.get("HEALTHCHECK", "")
    while OPTION.match(check):
        check = OPTION.sub("", check)
    command = [*_words(last.get("ENTRYPOINT", "")), *_words(last.get("CMD", ""))]
    return Image(
        ports=tuple(dict.fromkeys(ports)),
        healthcheck=_expanded(check.removeprefix("CMD").strip(), variables) if check.startswith("CMD") else "",
        command=tuple(_expanded(word, variables) for word in command),
        base=base,
        user=_expanded(last.get("USER", ""), variables).strip(),
    )


def _assigned(value: str) -> dict[str, str]:
    try:
        words = shlex.split(value)
    except ValueError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word) or (
        {words[0]: " ".join(words[1:])} if len(words) > 1 else {}
    )


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda match: variables.get(match[1], match[0]), text)


def _words(value: str) -> list[str]:
    """Return a command as it is run: a list as it is, and what is no list by a shell."""
    if not value:
        return []
    try:
        listed = json.loads(value)
    except ValueError:
        listed = None
    if isinstance(listed, list):
        return [str(each) for each in listed]
    value = value.removeprefix("exec ")
    simple = not re.search(r"[|&;<>()`$\n]|^\w+=", value)
    try:
        return shlex.split(value) if simple else ["sh", "-c", value]
    except ValueError:
        return ["sh", "-c", value]


def released(service: Service, root: Path) -> Image | None:
    """Return the image that a release of a service runs; None where no file here says what it is."""
    if service.build is None:
        return Image(base=service.image) if service.image else None
    file = str(Path(service.build.context) / service.build.dockerfile)
    image = read(root / file, TARGET, service.build.args)
    return msgspec.structs.replace(image, file=file) if image.base else None
