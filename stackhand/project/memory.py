"""What a checkout remembers of its stack: `.stackhand/state.json`, with a name and a type for each fact."""

from __future__ import annotations

from typing import Literal

import msgspec

HERE = "127.0.0.1"
EngineName = Literal["compose", "embedded"]


class HealthQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a service of this machine is asked whether it can be used; `inside` is a port that is not published."""

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
    """What was made last: by which checkout, and on which host, which is given up once nobody answers there."""

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
    """All facts; those at their default are not written, and the volume of the only database is one of them.

    Args:
        up: whether the last `up` came to its end, and no `down` after it.
        dotenv: a digest of `.env` as Stackhand made it, as long as nobody has edited it.
        ports: those that `--free-ports` chose, by setting.
        needs: the services, each with all that it needs; None of an earlier version.
        chosen: the ports on embedded of services whose file names none.
        images: fingerprints of what images were built from, by service; None before the first start on compose.
        unlike: services whose container has another hash than Compose tells: both of them.
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
