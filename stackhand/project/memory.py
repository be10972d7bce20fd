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
    """What tells the status of a container when the Compose file has changed since its start."""

    question: HealthQuestion = HealthQuestion()
    address: str = ""
    ports: list[int] = []
    may_finish: bool = False
    replicas: int = 1
    target: str = ""  # 80/tcp, where the engine chooses a port for that: it is 0 in question and address


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
    """All facts; those at their default are not written, and the volume of the only database is one of them."""

    engine: EngineName | None = None
    name: str = ""
    services: list[str] = []
    up: bool = False  # whether the last `up` came to its end, and no `down` after it
    dotenv: str | None = None  # a digest of `.env` as Stackhand made it, as long as nobody has edited it
    ports: dict[str, int] = {}  # those that --free-ports chose, by setting
    needs: dict[str, list[str]] | None = None  # all that each service needs; None of an earlier version
    chosen: dict[str, int] = {}  # the ports on embedded of services whose file names none
    unsupported: list[str] = []
    finished: dict[str, str] = {}  # the jobs that came to their end, with the programs' fingerprints
    compose: ComposeProject = ComposeProject()
    served: dict[str, Served] = {}
    images: dict[str, str] | None = None  # fingerprints of their sources; None before the first start on compose
    unlike: dict[str, list[str]] = {}  # hashes of containers that differ from those that Compose tells: both
    pre_stop: list[str] = []
    databases: dict[str, DatabaseVolume] = {}
