"""The environment of a rehearsal: `environments/rehearsal.tfvars`, made up where a project has none."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stackhand.project import environments
from stackhand.project.environments import Environment

NAME = "rehearsal"
PATH = f"{environments.FOLDER.name}/{NAME}.tfvars"
"""Of its file, relative to the project."""
STACK, REGION = "stack", "eu-west-1"
"""Of a project that has no environment yet."""
MADE_UP = {
    "environment": NAME,
    "account_id": "000000000000",  # the emulator's
    "architecture": "ARM64" if platform.machine() in {"arm64", "aarch64"} else "X86_64",
    "placeholder_image": "python:3.13-alpine",
    "deletion_protection": False,
    "log_days": 1,
    "alarm_email": "",  # the emulator sends no mail
}


TAKEN = ("nat", "settings", "vpc_id", "subnets")
"""What else an environment has like the one that is rehearsed: without NAT, tasks reach less."""


def prepare(folder: Path, own: Path = environments.FOLDER) -> tuple[Environment, dict[str, Path]]:
    """Return the environment, and its file by the path that it must get in a clone.

    Args:
        folder: where the file is made.
        own: the environments of the project.
    """
    file = folder / PATH
    file.parent.mkdir(parents=True, exist_ok=True)
    if NAME in environments.known(own):
        shutil.copyfile(own / file.name, file)
    else:
        file.write_text("".join(_lines(_model(own))), encoding="utf-8")
    return environments.load(NAME, file.parent), {PATH: file}


def _model(own: Path) -> Mapping[str, Any]:
    """Return the variables of the environment that a rehearsal is for: staging, or else the first one."""
    names = sorted(environments.known(own), key=lambda name: (name != "staging", name))
    return environments.load(names[0], own).variables if names else {}


def _lines(model: Mapping[str, Any]) -> Iterator[str]:
    written = {"stack": model.get("stack", STACK), "region": model.get("region", REGION), **MADE_UP}
    written |= {name: model[name] for name in TAKEN if model.get(name)}
    for name, value in written.items():
        yield f"{name} = {_written(value)}\n"


def _written(value: Any) -> str:
    """Return a value as it stands in such a file; a string that was read there has its other escapes still."""
    match value:
        case str():
            return '"' + value.replace('"', r"\"") + '"'
        case dict():
            return "{ " + ", ".join(f'"{key}" = {_written(each)}' for key, each in value.items()) + " }"
    return json.dumps(value)
