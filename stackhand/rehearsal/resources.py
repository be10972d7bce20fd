"""What an emulator leaves on the machine while it lasts: containers, volumes, networks and images."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from stackhand.containers import docker, listing
from stackhand.rehearsal.emulator import Emulator

KEPT = re.compile(rf"{docker.NOT_THERE.pattern}|conflict: unable to", re.IGNORECASE)
"""Why an image is not removed: it is gone already, or something uses it, and `left` names it."""
KINDS = {
    "container": ("ps", "--all", "--quiet"),
    "volume": ("volume", "ls", "--quiet"),
    "network": ("network", "ls", "--format", "{{.Name}}"),
}
"""What an emulator leaves on the machine, each with the command that lists it: one for all, not one for each."""


@dataclass
class Resources:
    """The containers of an emulator, their volumes and networks, and the images pushed to it.

    Args:
        emulator: whose they are.
        names: what was seen, by kind.
    """

    emulator: Emulator
    names: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in KINDS})

    def look(self) -> None:
        """Add what is there now; networks that are not only ours (bridge) do not count."""
        there = self.emulator.containers()
        self.names["container"] |= {*there}
        for each in listing.inspect(there).values():
            self.names["volume"] |= {mount["Name"] for mount in each["Mounts"] if mount["Type"] == "volume"}
            self.names["network"] |= set(each["NetworkSettings"]["Networks"]) - {"bridge", "host", "none"}

    def images(self) -> list[str]:
        """Return the ids of the images that were pushed to the emulator or pulled from it."""
        mine = f"localhost:{self.emulator.port}/"
        listed = docker.run("image", "ls", "--no-trunc", "--digests", "--format", "{{.Repository}} {{.ID}}").stdout
        return sorted({line.split()[1] for line in listed.splitlines() if line.startswith(mine)})

    def remove_images(self) -> None:
        """Remove those images; the layers stay in the builder's cache."""
        if images := self.images():
            docker.run("image", "rm", "--force", *images, accept=KEPT, timeout=60.0)

    def left(self) -> list[str]:
        """Return in words what is still there."""
        left = [f"{kind} {name}" for kind in KINDS for name in self._there(kind)]
        left += [f"container {each}" for each in self.emulator.containers()]
        left += [f"image {each}" for each in self.images()]
        return left + ([f"process {self.emulator.pid}, the emulator"] if self.emulator.alive else [])

    def _there(self, kind: str) -> list[str]:
        """Return the names of a kind that were seen and still exist."""
        seen = self.names[kind]
        return sorted(seen.intersection(docker.run(*KINDS[kind]).stdout.split())) if seen else []
