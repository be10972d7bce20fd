"""What containers need of this machine beyond an engine that answers: disk, certificates, a proxy that builds know."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.containers import docker, endpoint, images
from stackhand.containers.listing import Container
from stackhand.project import settings

NEEDED_MB = 1500
"""What the four images of the stack take, their build and a new volume."""
PROJECT = "com.docker.compose.project"
FOLDER = f"{PROJECT}.working_dir"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


def require_own(containers: Iterable[Container], root: Path) -> None:
    """Refuse to touch the containers of another checkout, which a copy of it has the name of.

    Raises:
        Failure: they were started in another folder, which is still there.
    """
    for container in containers:
        labels = container["Config"]["Labels"]
        folder = Path(labels.get(FOLDER) or root)
        if folder.exists() and not folder.samefile(root):
            raise Failure(
                f"The containers of {labels.get(PROJECT)} belong to the checkout {folder}.",
                next=f"work there; or write {settings.own_name(root)} into .env here: that makes it a stack of its own",
                code=ExitCode.PREFLIGHT,
            )


def require_disk() -> None:
    """Refuse to pull or build where there is no room for it.

    Raises:
        Failure: the disk of the container engine is too full.
    """
    free = _disk()
    if free and free[1] < NEEDED_MB:
        raise Failure(
            f"The disk of the container engine ({free[0]}) has {free[1]} MB free, and images need {NEEDED_MB} MB.",
            next="docker system prune removes unused data; ./inv up --engine embedded needs less",
            code=ExitCode.PREFLIGHT,
        )


def findings() -> Iterator[tuple[str, str, str, str]]:
    """Yield name, status, words and remedy of each thing that was looked at."""
    if free := _disk():
        status = "pass" if free[1] >= NEEDED_MB else "fail"
        remedy = "" if status == "pass" else "docker system prune removes unused data"
        yield "images' disk", status, f"{free[1] / 1000:.1f} GB free for {free[0]}", remedy
    yield from _certificates()
    proxies = {name for name in PROXIES if os.environ.get(name)}
    if proxies and not endpoint.configuration().get("proxies"):
        message = f"{', '.join(sorted(proxies))} is set here, but not for builds"
        yield "proxy", "warn", message, "add it under proxies in ~/.docker/config.json"


def _certificates() -> Iterator[tuple[str, str, str, str]]:
    named = {name: os.environ[name] for name in images.CERTIFICATES if os.environ.get(name)}
    for name, path in named.items():
        if not Path(path).is_file():
            yield (
                "certificates",
                "warn",
                f"{name} names {path}, which is not a file",
                f"unset {name}, or create the file",
            )
    if used := images.certificates():
        yield "certificates", "pass", f"builds trust {used}", ""


def _disk() -> tuple[Path, int] | None:
    """Return the folder of the engine's images and the MB free there; None where that cannot be told."""
    if endpoint.is_remote(endpoint.address()):  # a folder of another machine
        return None
    try:
        output = docker.run("info", "--format", "{{.DockerRootDir}}", timeout=docker.ANSWER_WITHIN).stdout.strip()
        place = Path(output)
        return (place, shutil.disk_usage(place).free // 1_000_000) if output else None
    except (Failure, OSError):  # slow today; or in the virtual machine of Docker Desktop
        return None
