"""What a checkout remembers of its stack: `.stackhand/state.json`, with a name and a type for each fact."""

from __future__ import annotations

from typing import Literal

import msgspec

HERE = "127.0.0.1"
EngineName = Literal["compose", "embedded"]


class HealthQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a service of this machine is asked whether it can be used: over HTTP by a URL, else at a port.

    Nobody answers where all that can be known is whether the process runs. At a port that is not published (`inside`),
    only who knows its container can ask.
    """

    kind: Literal["process", "http", "inside", "postgres", "redis", "tcp"] = "process"
    url: str = ""
    host: str = HERE
    port: int = 0
    path: str = ""
    user: str = ""
    database: str = ""
    password: str = ""


class Served(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What tells the status of a container when the Compose file has changed since its start.

    Where the engine chooses a port, `target` says what for (80/tcp), and the port of `question` and `address` is 0.
    """

    question: HealthQuestion = HealthQuestion()
    address: str = ""
    ports: list[int] = []
    may_finish: bool = False
    replicas: int = 1
    target: str = ""


class ComposeProject(msgspec.Struct, frozen=True, omit_defaults=True):
    """The containers and volumes that were made last: by which checkout, and on which host.

    It is `given_up` once `down` has told that nobody answers at the host.
    """

    project: str = ""
    root: str = ""
    host: str = ""
    given_up: bool = False


class DatabaseVolume(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The volume of a PostgreSQL in a container, and a digest of the login that it was reconciled with."""

    volume: str | None = None
    login: str | None = None
    superuser: str | None = None


class Memory(DatabaseVolume, kw_only=True, omit_defaults=True):
    """All facts; the volume of the only database is one of them. What is at its default is not written.

    Args:
        services: those that were started last, in that order.
        up: whether the last `up` came to its end, and no `down` after it.
        dotenv: a digest of `.env` as Stackhand made it, as long as nobody has edited it.
        ports: those that `--free-ports` chose, by setting.
        needs: the services, each with all that it needs; None of an earlier version.
        chosen: the ports of services whose file names none, on embedded.
        finished: the jobs that came to their end, with the programs' fingerprints.
        images: fingerprints of what images were built from, by service; None before the first start on compose.
        unlike: services whose container has another hash than Compose tells: both of them.
        databases: by service, where there are several.
    """

    engine: EngineName | None = None
    name: str = ""
    services: list[str] = []
    up: bool = False
    dotenv: str | None = None
    ports: dict[str, int] = {}
    needs: dict[str, list[str]] | None = None
    chosen: dict[str, int] = {}
    unsupported: list[str] = []
    finished: dict[str, str] = {}
    compose: ComposeProject = ComposeProject()
    served: dict[str, Served] = {}
    images: dict[str, str] | None = None
    unlike: dict[str, list[str]] = {}
    pre_stop: list[str] = []
    databases: dict[str, DatabaseVolume] = {}
