"""What a service's image is built on and runs as, as far as its Dockerfile says without being built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stackhand.project.stack import dockerfile
from stackhand.project.stack.model import Service

TARGET = "production"
"""The stage that is released, where a Dockerfile has one of that name; otherwise the last one."""


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
    image = dockerfile.read(root / file, TARGET, service.build.args)
    return Released(image.base, image.user, file) if image.base else None
