"""What a rehearsal has made on this machine, and what of it is left."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from stackhand.containers import docker
from stackhand.rehearsal.emulator import Emulator

KEPT = re.compile(rf"{docker.NOT_THERE.pattern}|conflict: unable to", re.IGNORECASE)
"""Why an image is not removed: it is gone already, or something uses it, and `left` names it."""
KINDS = ("container", "volume", "network")


@dataclass
class Made:
    """The containers of an emulator, their volumes and networks, and the images pushed to it.

    Args:
        emulator: whose they are.
        names: what was seen, by kind.
    """

    emulator: Emulator
    names: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})

    def look(self) -> None:
        """Add what is there now; networks that are not only ours (bridge) do not count."""
        self.names["container"] |= set(self.emulator.containers())
        for identity in self.names["container"]:
            for found in json.loads(
                docker.run("container", "inspect", identity, accept=docker.NOT_THERE).stdout or "[]"
            ):
                self.names["volume"] |= {each["Name"] for each in found["Mounts"] if each["Type"] == "volume"}
                networks = found["NetworkSettings"]["Networks"]
                self.names["network"] |= set(networks) - {"bridge", "host", "none"}

    def images(self) -> list[str]:
        """Return the ids of the images that were pushed to the emulator or pulled from it."""
        mine = f"localhost:{self.emulator.port}/"
        listed = docker.run("image", "ls", "--no-trunc", "--digests", "--format", "{{.Repository}} {{.ID}}").stdout
        return sorted({line.split()[1] for line in listed.splitlines() if line.startswith(mine)})

    def remove_images(self) -> None:
        """Remove those images; the layers stay in the builder's cache."""
        if found := self.images():
            docker.run("image", "rm", "--force", *found, accept=KEPT, timeout=60.0)

    def left(self) -> list[str]:
        """Return in words what is still there."""
        found = [f"{kind} {name}" for kind in KINDS for name in sorted(self.names[kind]) if _exists(kind, name)]
        found += [f"container {each}" for each in self.emulator.containers()]
        found += [f"image {each}" for each in self.images()]
        return found + ([f"process {self.emulator.pid}, the emulator"] if self.emulator.alive else [])


def _exists(kind: str, name: str) -> bool:
    return docker.run(kind, "inspect", name, accept=docker.NOT_THERE).returncode == 0
