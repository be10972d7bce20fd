"""How a value names another service: what Terraform puts the address of a database or cache in the place of."""

from __future__ import annotations

import re
from collections.abc import Mapping

HOST = re.compile(r"HOST|ADDR|SERVER|ENDPOINT|UPSTREAM|BROKER")
"""What a variable is called whose value may be a host name and nothing else: a database may have its service's name."""


def is_host(key: str, value: str, name: str) -> bool:
    """Whether a variable has the name of a service as its host, and nothing else."""
    return value == name and bool(HOST.search(key.upper()))


def with_ports(value: str, managed: Mapping[str, int]) -> str:
    """Return a value of a variable with the port in each URL that leads to a managed service without one."""
    for name, port in managed.items():
        value = re.sub(rf"(://(?:[^/@\s]*@)?{re.escape(name)})(?=[/?#\s\"',;]|$)", rf"\1:{port}", value)
    return value


def names(key: str, value: str, name: str, port: int) -> bool:
    """Whether a variable has the address of a managed service in a form that is rewritten on AWS."""
    address = re.compile(rf"(?<![\w.-]){re.escape(name)}:{port}(?!\d)")
    return is_host(key, value, name) or bool(address.search(with_ports(value, {name: port})))


def leads_to(text: str, name: str) -> bool:
    """Whether a text has a service as a host: before a port, or in a URL."""
    host = re.escape(name)
    return bool(
        re.search(rf"(?<![\w.-]){host}:\d+(?!\w)", text) or re.search(rf"://(?:[^/@\s]*@)?{host}(?=[/?\s\"';]|$)", text)
    )
