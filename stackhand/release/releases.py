"""The releases of an environment: `releases/ID.json` in its bucket, and the last known good one as `current.json`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.actor import owner, timestamp
from stackhand.infrastructure.store import Store
from stackhand.release.manifest import Manifest, new_id, parse

FOLDER = "releases/"
CURRENT = "current.json"
DESTROYED = "-destroyed.json"
"""The end of the key that stands between the releases of an environment and those after it was destroyed."""


class Releases:
    """The releases of an environment.

    Args:
        store: its bucket.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, manifest: Manifest) -> None:
        """Keep a release as it is by now."""
        self.store.write(f"{FOLDER}{manifest.id}.json", manifest.to_dict())

    def current(self) -> Manifest | None:
        """Return the last known good release."""
        found = self.store.read(CURRENT)
        return parse(found.content) if found else None

    def make_current(self, manifest: Manifest) -> None:
        """Keep a release, and from now on return to it.

        `current.json` goes first, and what it says counts: one cannot return to a release that is good by its own entry
        only. The entry may fail; it is read from there as long as it is the current one, and written before the next.
        """
        before = self.current()
        if before is not None:
            self.write(before)
        self.store.write(CURRENT, manifest.to_dict())
        with suppress(Failure):
            self.write(manifest)

    def forget(self) -> None:
        """Return to none of them any more, for what they need is gone; they stay in the history."""
        if not self._keys():
            return
        if (current := self.current()) is not None:
            self.write(current)
        self.store.write(f"{FOLDER}{new_id('').rstrip('-')}{DESTROYED}", {"at": timestamp(), "by": owner()})
        if (found := self.store.read(CURRENT)) is not None:
            self.store.remove(CURRENT, etag=found.etag)

    def newest_first(self, *, ever: bool = False) -> Iterator[Manifest]:
        """Yield the releases, the newest first.

        Args:
            ever: also those from before the environment was destroyed, to which nobody can return.
        """
        keys = self._keys()
        current = self.current() if keys else None
        for key in reversed(keys):
            if key.endswith(DESTROYED):
                if not ever:
                    return
            elif current is not None and key == f"{FOLDER}{current.id}.json":
                yield current
            elif found := self.store.read(key):
                yield parse(found.content)

    def _keys(self) -> list[str]:
        """Return the keys of the releases; those of images are in a folder of their own."""
        return [key for key in self.store.keys(FOLDER) if "/" not in key.removeprefix(FOLDER)]

    def named(self, name: str) -> Manifest:
        """Return the newest release of an id, of a name, or of a commit that begins so; a good one before others.

        Raises:
            Failure: there is none.
        """
        known = [*self.newest_first()] if name else []
        kinds = (
            [each for each in known if each.id == name],
            [each for each in known if each.name == name],
            [each for each in known if each.commit.startswith(name)],
        )
        found: list[Manifest] = next(filter(None, kinds), [])
        good = [each for each in found if each.good] or found
        if not good:
            raise Failure(
                f"There is no release {name!r}.",
                next=f"./inv cloud.releases -e {self.store.environment.name}",
                code=ExitCode.USAGE,
            )
        return good[0]
