"""What the verbs, the Ansible plugins and the tests of Stackhand share."""

from typing import TYPE_CHECKING

VERSION: str
"""The version, as packages have it; worked out when it is first read, because a checkout has to ask git."""

if not TYPE_CHECKING:

    def __getattr__(name):
        """Return `VERSION`."""
        if name != "VERSION":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from stackhand.version import current

        return current().number
