"""The Linux capabilities of a container on Fargate, which takes away any and grants one."""

from __future__ import annotations

from collections.abc import Iterable

BY_DEFAULT = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
"""What a container has when nothing is said: these can be kept; terraform/hardening.tf lists the same."""
GRANTED = frozenset({"SYS_PTRACE"})


def impossible(wanted: Iterable[str]) -> list[str]:
    """Return which capabilities a container cannot be given."""
    return [name for name in wanted if str(name).upper().removeprefix("CAP_") not in BY_DEFAULT | GRANTED]
