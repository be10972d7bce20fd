"""The services of a stack as they are: what should run here, what does, what it says and what it keeps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec
import psutil

from stackhand.cli import loglines
from stackhand.cli.loglines import Line
from stackhand.local.engines import health
from stackhand.local.engines.embedded import gate, known, processes
from stackhand.local.engines.embedded.processes import UNKNOWN, Record, Supervised
from stackhand.local.engines.embedded.servers import Program, Server, server_for
from stackhand.local.engines.embedded.supervisor import Supervisor
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import ServiceStatus, StoredData, halted
from stackhand.project.memory import HealthQuestion
from stackhand.project.stack.model import Port, Stack
from stackhand.project.state import State
from stackhand.system import trees, waiting

FOLLOW_POLL = 0.2
SILENT = "supervisord does not answer: a stopped service is not restarted; ./inv down, then ./inv up"
WORDS = {"done": "exited with 0", "starting": "stopped, and will be restarted"}
"""What is said in the place of an answer, where it is not `not running`."""


class ExistingPrograms(Engine):
    """One checkout's programs, as they were written down; see `Engine` for the surface."""

    name = "embedded"
    asked = "the supervisor"

    def __init__(self, state: State, stack: Stack | None = None) -> None:
        self._chosen: known.Chosen = {}
        if stack is not None:
            stack, self._chosen = known.declared(stack, state)
        super().__init__(state, stack)
        self.supervisor = Supervisor(state)
        self._lock = Lock()
        self._servers: dict[str, Server] = {}

    def servers(self) -> dict[str, Server]:
        """Return what runs each service that runs here, in the order of their start; the same at each call."""
        if not self._servers:
            self._servers = {
                name: server_for(self.stack.services[name], self.stack, self.state) for name in self.services()
            }
        return self._servers

    def services(self) -> list[str]:
        """Return the services that have an `x-embedded`, or need none; not those that only their schedule starts."""
        return [each.name for each in self.stack.services.values() if each.embedded and not each.scheduled]

    def advice(self, name: str) -> str:
        """Return the `x-embedded` that a service lacks."""
        return known.advice(self.stack.services[name])

    def programs(self) -> dict[str, Program]:
        """Return the programs that were started last, as they were written down, in the order of their start."""
        programs = {}
        for name in self.state.read().services:
            try:
                text = (self.state.services / f"{name}.json").read_bytes()
                programs[name] = msgspec.json.decode(text, type=Program)
            except PermissionError:
                raise
            except (OSError, ValueError):
                continue
        return programs

    def status(self) -> list[ServiceStatus]:
        """Return how each service is now, in the order of their start."""
        programs, records = self.programs(), processes.records(self.state.run)
        living = {name: records[name] for name in programs if name in records and records[name].alive}
        asked = {name: partial(_status, programs[name], UNKNOWN, record) for name, record in living.items()}
        calls: dict[str, Callable[[], Any]] = {processes.SUPERVISOR: self.supervisor.processes, **asked}
        answers = waiting.gather(calls, health.ALL_WITHIN)
        supervised = answers.get(processes.SUPERVISOR, {})
        supervisor, memory = records.get(processes.SUPERVISOR), self.state.read()
        self.notes = [SILENT] if supervisor and supervisor.alive and not supervised else []
        if memory.unsupported:
            self.notes.append(f"not on this engine, for they have no x-embedded: {', '.join(memory.unsupported)}")
        late = {
            name: ServiceStatus.late(name, programs[name].address, programs[name].ports, halted(record.pid))
            for name, record in living.items()
            if name not in answers
        }
        ended = {
            name: _status(program, supervised.get(name, UNKNOWN), records.get(name), memory.finished.get(name, ""))
            for name, program in programs.items()
            if name not in living
        }
        return [(late | ended | answers)[name] for name in programs]

    def runs(self) -> bool:
        """Whether any process of this checkout lives, supervised or not."""
        return any(record.alive for record in processes.records(self.state.run).values())

    def unchanged(self) -> bool:
        """Whether exactly the wanted programs run, supervised and healthy, each from what it would be started from."""
        wanted = {name: server.program().fingerprint for name, server in self.servers().items()}
        records = processes.records(self.state.run)
        records.pop(processes.SUPERVISOR, None)
        if not wanted or wanted != {name: record.fingerprint for name, record in records.items()}:
            return False
        return bool(self.supervisor.processes()) and all(each.healthy for each in self.status())

    def log(self, name: str) -> Path:
        """Return the file a service's output goes to."""
        return self.state.logs / f"{name}.log"

    def lines(self, name: str, count: int) -> list[Line]:
        """Return the last lines of a service's log."""
        return loglines.dated(name, loglines.tail(self.log(name), count))

    def follow(self, names: Sequence[str]) -> Iterator[Line]:
        """Yield what the services say from now on, until interrupted."""
        files = {name: loglines.Follower(self.log(name)) for name in names}

        def new_lines() -> Iterator[Line]:
            while True:
                for name, file in files.items():
                    yield from loglines.dated(name, list(file.new_lines()))
                time.sleep(FOLLOW_POLL)

        return new_lines()

    def question(self, name: str) -> HealthQuestion:
        """Return how a service that was started last is asked for its health."""
        program = self.programs().get(name)
        return program.question if program else HealthQuestion()

    def listeners(self) -> dict[str, set[int]]:
        """Return the ports at which the services' own processes listen, by service."""
        records = processes.records(self.state.run)
        leaders = {name: records[name].pid for name in self.started() if name in records and records[name].alive}
        families = processes.families(leaders.values())
        ports = processes.listening(set().union(*families.values()))
        by_name = {name: set().union(*(ports[pid] for pid in families[leader])) for name, leader in leaders.items()}
        return {name: by_name.get(name, set()) for name in self.started()}

    def own_ports(self) -> set[int]:
        """Return the ports at which any process of this checkout listens, be it one that nobody supervises."""
        living = processes.living(processes.records(self.state.run))
        return set().union(*processes.listening({process.pid for process in living}).values())

    def data(self) -> list[StoredData]:
        """Return the folders in which services have left something; a stray file beside them is none."""
        there = self.state.data.iterdir() if self.state.data.exists() else ()
        places = sorted(each for each in there if each.is_dir() and any(each.iterdir()))
        return [StoredData(str(each.relative_to(self.state.root)), trees.size(each), _created(each)) for each in places]

    def used(self) -> bool:
        """Whether there is a data folder, or a record of a process."""
        return any(True for folder in (self.state.data, self.state.run) if folder.exists() for _ in folder.iterdir())


def _status(program: Program, known: Supervised, record: Record | None, finished: str = "") -> ServiceStatus:
    """Return how a program is, by what supervisord says of it and what was noted down when it started.

    For a supervisord that says nothing, `finished` is the fingerprint of the program that came to its end last.
    """
    if record is None or not record.alive:
        state = (
            "done" if record and known == UNKNOWN and finished == record.fingerprint else _ended(program, known, record)
        )
        code = known.exitstatus if state == "failed" and known.statename == "EXITED" else 0
        output = f"exited with {code}" if code else WORDS.get(state, "not running")
        return ServiceStatus(program.name, state, output, program.address, program.ports)
    answer = health.ask(program.question)
    stopped = halted(record.pid) if not answer.healthy or program.question.kind == "process" else ""
    output = f"{answer.message}: {stopped}" if stopped and not answer.healthy else stopped or answer.message
    return ServiceStatus(
        program.name,
        "healthy" if answer.healthy and not stopped else "unhealthy",
        output,
        program.address,
        program.ports,
        milliseconds=answer.milliseconds,
        pid=record.pid,
        since=_since(record.pid),
        published=[Port(port, port) for port in program.ports],
    )


def _since(pid: int) -> float | None:
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:  # it ended while it was asked
        return None


def _ended(program: Program, known: Supervised, record: Record | None) -> str:
    if gate.finished(program, known):
        return "done"
    if known.statename == "BACKOFF":
        return "starting"
    return "failed" if record else "stopped"


def _created(folder: Path) -> float | None:
    """Return when a folder was made, as far as its oldest file tells; one that goes meanwhile tells nothing."""
    times = []
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                times.append(path.lstat().st_mtime)
    return min(times, default=None)
