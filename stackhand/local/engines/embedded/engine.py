"""The embedded engine: the stack as plain processes under supervisord, for machines with no container engine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any, NamedTuple

import msgspec

from stackhand.cli import loglines
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import Line
from stackhand.local.engines import health
from stackhand.local.engines.embedded import folders, gate, known, parallel, processes, removal, status
from stackhand.local.engines.embedded.servers import Program, Server, server_for
from stackhand.local.engines.embedded.servers.base import account_of, no_port
from stackhand.local.engines.embedded.servers.postgres import Postgres
from stackhand.local.engines.embedded.site import Site
from stackhand.local.engines.embedded.supervisor import Supervisor
from stackhand.local.engines.engine import CONNECT_WITHIN, Engine, Kept, Started
from stackhand.local.engines.login import Login, own_settings
from stackhand.local.engines.status import ServiceStatus
from stackhand.project import inherited, trees
from stackhand.project.model import Service, Stack
from stackhand.project.state import State
from stackhand.system import program as system_program
from stackhand.system import waiting

FOLLOW_POLL = 0.2
STOP_WITHIN = 10.0
STOP_POLL = 0.01
"""Seconds between two looks at a service that ends: most need less than a tenth."""
REMAINS_WITHIN = 5.0
START_ONLY_WITHIN = 60.0
SILENT = "supervisord does not answer: a stopped service is not restarted; ./inv down, then ./inv up"


class Begun(NamedTuple):
    """A service on its way up.

    Args:
        start: the service.
        began: on the monotonic clock.
        changed: whether it has to start.
        notes: sentences on what was made for it.
    """

    start: gate.Start
    began: float
    changed: bool
    notes: list[str]


class EmbeddedEngine(Engine):
    """One checkout's stack as processes of this machine; see `Engine` for the surface."""

    name = "embedded"
    asked = "the supervisor"

    def __init__(self, state: State, stack: Stack | None = None) -> None:
        self._chosen: known.Chosen = {}
        if stack is not None:
            stack, self._chosen = known.declared(stack, state)
        super().__init__(state, stack)
        self.supervisor = Supervisor(state)
        self._lock = Lock()

    # --- what should run -----------------------------------------------------------------------------------

    def servers(self) -> dict[str, Server]:
        """Return what runs each service that can run here, in the order of their start."""
        services = self.stack.services.values()
        return {each.name: _server(each, self.stack, self.state) for each in services if each.embedded}

    def services(self) -> list[str]:
        """Return the services that have an `x-embedded`, or need none."""
        return [each.name for each in self.stack.services.values() if each.embedded]

    def advice(self, name: str) -> str:
        """Return the `x-embedded` that a service lacks."""
        return known.advice(self.stack.services[name])

    def programs(self) -> dict[str, Program]:
        """Return the programs that were started last, as they were written down, in the order of their start."""
        programs = {}
        for name in self.state.read().get("services", []):
            try:
                text = (self.state.services / f"{name}.json").read_bytes()
                programs[name] = msgspec.json.decode(text, type=Program)
            except PermissionError:
                raise
            except (OSError, msgspec.MsgspecError):
                continue
        return programs

    # --- reading -------------------------------------------------------------------------------------------

    def status(self) -> list[ServiceStatus]:
        """Return how each service is now, in the order of their start."""
        programs, records = self.programs(), processes.records(self.state.run)
        living = {name: records[name] for name in programs if name in records and records[name].alive}
        asked = {name: partial(status.of, programs[name], {}, record) for name, record in living.items()}
        calls: dict[str, Callable[[], Any]] = {processes.SUPERVISOR: self.supervisor.processes, **asked}
        answers = waiting.gather(calls, health.ALL_WITHIN)
        supervised = answers.get(processes.SUPERVISOR, {})
        supervisor = records.get(processes.SUPERVISOR)
        self.notes = [SILENT] if supervisor and supervisor.alive and not supervised else []
        if missing := self.state.read().get("unsupported"):
            self.notes.append(f"not on this engine, for they have no x-embedded: {', '.join(missing)}")
        late = {name: ServiceStatus.late(name, programs[name].address, programs[name].ports) for name in living}
        ended = {
            name: status.of(programs[name], supervised.get(name, {}), records.get(name), self._finished().get(name, ""))
            for name in programs.keys() - living.keys()
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

    def question(self, name: str) -> dict[str, Any] | None:
        """Return how a service that was started last is asked for its health."""
        program = self.programs().get(name)
        return program.question if program else None

    def client(
        self,
        service: Service,
        tool: str,
        database: str,
        *,
        login: Login | None = None,
        interactive: bool = False,
    ) -> tuple[list[str], dict[str, str]]:
        """Return how to run one of PostgreSQL's programs against a service; see `Engine.client`."""
        server = self._server(service)
        assert isinstance(server, Postgres)  # noqa: S101 - the caller chose it for that
        return [server.tool(tool)], {
            **inherited.loader(),
            **server.connection(login),
            "PGDATABASE": database,
            "PGCLIENTENCODING": "UTF8",
            "PGCONNECT_TIMEOUT": str(CONNECT_WITHIN),
            **({} if interactive else {"PGOPTIONS": own_settings(login)}),
        }

    def cache_client(self, service: Service) -> tuple[list[str], dict[str, str]]:
        """Refuse: on this engine a server has a port.

        Raises:
            Failure: naming the line to add.
        """
        raise no_port(service, self.stack.file)

    def run(self, service: Service, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as a service would run it, and return what it said.

        Raises:
            Failure: the service does not run on this engine.
        """
        server = self._server(service)
        program = server.program()
        account = program.account or {}
        if account:
            server.prepare()
        prefix = account.get("prefix", [])
        become = {"user": account["uid"], "group": account["gid"], "extra_groups": []} if account and not prefix else {}
        try:
            return system_program.run(
                [*prefix, *args], environment=program.environment, folder=program.directory, account=become
            )
        except OSError as error:  # a shell and a container have this code for a program that is not there
            return subprocess.CompletedProcess(args, 127, "", f"{args[0]}: {error.strerror}")

    def shell(self, service: Service) -> tuple[list[str], dict[str, str], str]:
        """Return a shell of this machine with the service's environment, where it was started.

        Raises:
            Failure: the service does not run on this engine.
        """
        program = self._server(service).program()
        chosen, person = os.environ.get("SHELL") or "/bin/sh", inherited.environment("shell")
        environment = person | program.environment
        if program.account:  # what the service writes into its own home is not to be run by root
            environment |= {name: person[name] for name in ("HOME", "USER", "LOGNAME", "TMPDIR") if name in person}
        return [chosen], environment, program.directory

    def _server(self, service: Service) -> Server:
        if service.name not in self.services():
            raise Failure(
                f"{service.name} does not run on this engine: it has no x-embedded.",
                next=f"add x-embedded in {self.stack.file}, or ./inv up --engine compose",
                code=ExitCode.USAGE,
            )
        return self.servers()[service.name]

    # --- acting --------------------------------------------------------------------------------------------

    def prepare(self, progress: Callable[[str], None]) -> tuple[bool, list[str]]:  # noqa: ARG002 - takes no time
        """Write down the programs and have a supervisor that knows them; see `Engine.prepare`."""
        self.state.make()
        self.state.make_run()  # with the key of the programs' fingerprints
        programs = {name: server.program() for name, server in self.servers().items()}
        changed = False
        for path in self.state.services.glob("*.json"):
            if path.stem not in programs:
                path.unlink()
        for name, program in programs.items():
            changed |= _write(self.state.services / f"{name}.json", msgspec.json.encode(program))
        options = {
            name: {
                "stopsignal": program.stop_signal,
                "stopwaitsecs": str(int(STOP_WITHIN)),
                **(_may_finish(program) if program.may_finish else {}),
            }
            for name, program in programs.items()
        }
        changed |= self.supervisor.configure(options)
        self.state.remember(
            engine=self.name,
            name=self.stack.name,
            services=list(programs),
            needs=self.needs(),
            chosen=self._chosen or None,
            unsupported=self.unsupported() or None,
        )
        changed |= self.supervisor.ensure("")
        for name, record in processes.records(self.state.run).items():
            if name not in {*programs, processes.SUPERVISOR} and not record.alive:  # of a service that is no more
                self._forget(name)
        return changed, []

    def start(self, timeout: float) -> Iterator[Started]:
        """Start each service as soon as those it depends on can be used; see `Engine.start`."""
        yield from self._side_by_side(self.services(), timeout)

    def _side_by_side(self, names: Sequence[str], timeout: float) -> Iterator[Started]:
        servers, programs = self.servers(), self.programs()
        needs = {name: set(servers[name].service.depends_on) & set(names) for name in names}
        yield from parallel.run(
            needs,
            lambda name: self._begin(servers[name], programs[name]),
            lambda begun, stop: self._finish(begun, timeout, stop),
        )

    def would_start(self) -> list[str]:
        """Return the services that do not run as the current settings want them."""
        finished = self._finished()
        programs = [server.program() for server in self.servers().values()]
        return [
            each.name for each in programs if finished.get(each.name) != each.fingerprint and self._needs_start(each)
        ]

    def _begin(self, server: Server, program: Program) -> Begun:
        """Make what a service needs whose dependencies are up, and return it, ready to start; it may run already."""
        began, log = time.monotonic(), self.log(program.name)
        start = gate.Start(server, program, log, _size(log))
        changed = self._needs_start(program)
        return Begun(start, began, changed=changed, notes=self._make_ready(start) if changed else [])

    def _finish(self, begun: Begun, timeout: float, stop: Event) -> Started:
        """Start a service that is ready, and wait until it can be used.

        Args:
            begun: the service.
            timeout: seconds it may take.
            stop: set when nobody waits any more.

        Raises:
            Failure: it stopped or did not become healthy in time; its log's end is the evidence.
        """
        start, began, changed, notes = begun
        server, program, name = start.server, start.program, start.program.name
        if changed:
            self.supervisor.start(name)
        try:
            answer = gate.wait(self.supervisor, start, began + timeout, stop)
        except Failure:
            # It ran, and an interrupted restart had ordered its end: that came while we waited.
            stopped = self.supervisor.processes().get(name, {}).get("statename") == "STOPPED"
            if changed or stop.is_set() or not stopped:
                raise
            changed, notes = True, self._make_ready(start)
            self.supervisor.start(name)
            answer = gate.wait(self.supervisor, start, began + timeout, stop)
        try:
            notes += server.reconcile()
        except ConnectionError as error:
            what = f"{name} stopped answering right after its start."
            raise Failure(what, evidence=[str(error)], next=f"./inv logs {name}", code=ExitCode.UNHEALTHY) from error
        seconds = time.monotonic() - began
        after = list(server.service.depends_on)
        if program.job:  # one that has run before, and again came to its end, has changed nothing of the stack
            changed = self._note_end(program) and changed
        return Started(name, changed or bool(notes), answer.message, seconds, program.address, after, notes)

    def _note_end(self, program: Program) -> bool:
        """Note down that a job came to its end, and return whether it had not before, as it is now."""
        with self._lock:
            finished = self._finished()
            self.state.remember(finished={**finished, program.name: program.fingerprint})
        return finished.get(program.name) != program.fingerprint

    def _finished(self) -> dict[str, str]:
        """Return the jobs that came to their end, with the programs' fingerprints: no process is left to tell."""
        return dict(self.state.read().get("finished", {}))

    def _make_ready(self, start: gate.Start) -> list[str]:
        self._stop([start.program.name])
        notes = start.server.prepare()
        self._write_files(start.program)
        return notes

    def stay_up(self) -> None:
        """Wait until the services that nobody can ask have stayed up for a moment; see `gate.stay_up`."""
        unasked = [server for server in self.servers().values() if server.program().ready["kind"] == "process"]
        gate.stay_up(self.supervisor, [(server, self.log(server.service.name)) for server in unasked])

    def _needs_start(self, program: Program) -> bool:
        """Whether the service does not run, runs from another program than the current one, or runs unsupervised."""
        record = processes.read(self.state.run, program.name)
        if record is None or not record.alive or record.fingerprint != program.fingerprint:
            return True
        # What an interrupted restart is still stopping runs for a moment, and would end under whoever waits for it.
        supervised = self.supervisor.processes(age=gate.POLL)
        return str(supervised.get(program.name, {}).get("statename", "STOPPING")) == "STOPPING"

    def would_prepare(self) -> bool:
        """Whether `prepare` would do anything."""
        wanted = {name: server.program() for name, server in self.servers().items()}
        return wanted != self.programs() or not self.supervisor.processes()

    def restart(self, names: Sequence[str], timeout: float) -> Iterator[Started]:
        """Restart services with the current settings, and yield each once it can be used."""
        self._stop(reversed(list(names)))
        self.prepare(lambda _: None)
        for name, server in self.servers().items():
            if name not in names:
                with suppress(OSError):  # nobody answers: it does not run, or not at the current port
                    server.reconcile()
        yield from self._side_by_side(names, timeout)
        self.stay_up()

    def down(self, *, volumes: bool) -> list[str]:
        """Stop everything; see `Engine.down`.

        Raises:
            Failure: some of the data cannot be removed.
        """
        ran = set(self._stop(reversed(list(self.programs())))) | set(self.supervisor.shutdown(STOP_WITHIN))
        self.state.remove_run()
        trees.remove(self.state.config)
        if self._finished():
            self.state.remember(finished={})
        if volumes:
            removal.remove(self.state.data)
            removal.remove(self.state.services)
        return sorted(ran)

    def data(self) -> list[Kept]:
        """Return the folders in which services have left something; a stray file beside them is none."""
        there = self.state.data.iterdir() if self.state.data.exists() else ()
        places = sorted(each for each in there if each.is_dir() and any(each.iterdir()))
        return [Kept(str(each.relative_to(self.state.root)), trees.size(each), _made(each)) for each in places]

    def used(self) -> bool:
        """Whether there is a data folder, or a record of a process."""
        return any(True for folder in (self.state.data, self.state.run) if folder.exists() for _ in folder.iterdir())

    def start_only(self, service: Service, progress: Callable[[str], None]) -> None:
        """Start the database and nothing else; see `Engine.start_only`."""
        progress(f"starting {service.name} on {self.name}")
        self.prepare(progress)
        list(self._side_by_side([service.name], START_ONLY_WITHIN))

    def listeners(self) -> dict[str, set[int]]:
        """Return the ports at which the services' own processes listen, by service."""
        records = processes.records(self.state.run)
        leaders = {name: records[name].pid for name in self.started() if name in records and records[name].alive}
        families = processes.families(leaders.values())
        ports = processes.listening_by_pid(set().union(*families.values()))
        by_name = {name: set().union(*(ports[pid] for pid in families[leader])) for name, leader in leaders.items()}
        return {name: by_name.get(name, set()) for name in self.started()}

    def own_ports(self) -> set[int]:
        """Return the ports at which any process of this checkout listens, be it one that nobody supervises."""
        return processes.listening(processes.living(processes.records(self.state.run)))

    # --- details -------------------------------------------------------------------------------------------

    def _write_files(self, program: Program) -> None:
        for name, content in program.files.items():
            folders.write(Path(name), content.encode(), account_of(program))

    def _stop(self, names: Iterable[str]) -> list[str]:
        """Stop services, each once those that need it have ended, and return those that ran."""
        supervised = self.supervisor.processes(age=gate.POLL)
        found = {name: supervised.get(name, {}).get("statename") for name in names}
        running = [name for name, state in found.items() if state in {"RUNNING", "STARTING", "BACKOFF", "STOPPING"}]

        def begin(name: str) -> tuple[str, processes.Record | None]:
            record = processes.read(self.state.run, name)
            if found[name] != "STOPPING":  # as an interrupted restart has ordered, whose end is waited for all the same
                self.supervisor.call("stopProcess", name, False)
            return name, record

        def finish(begun: tuple[str, processes.Record | None], over: Event) -> str:
            self._await_end(*begun, STOP_WITHIN + 2, over)
            return begun[0]

        stopped: list[str] = []
        try:
            for name in parallel.run(self.needing(running), begin, finish):
                stopped.append(name)  # noqa: PERF402 - those that have ended are forgotten, even if the rest has not
        finally:
            self._forget(*stopped)
        return stopped

    def needs(self) -> dict[str, list[str]]:
        """Return the services, each with all that it needs: a job between two of them is over when they stop."""
        needs: dict[str, list[str]] = {}
        for name, service in self.stack.services.items():  # in the order of their start
            needs[name] = sorted({*service.depends_on}.union(*(needs.get(each, ()) for each in service.depends_on)))
        return needs

    def needing(self, names: Sequence[str]) -> dict[str, set[str]]:
        """Return services, each with those of them that need it; all in their order where that was not noted down."""
        needs = self.state.read().get("needs")
        if needs is None:
            return {name: set(names[:number]) for number, name in enumerate(names)}
        return {name: {other for other in names if name in needs.get(other, ())} for name in names}

    def _forget(self, *names: str) -> None:
        """Remove stopped services' records, and first what they started and did not end: nobody would know it after.

        A record that is left is one of a process that ended against our will.
        """
        processes.end(processes.remains(self.state.run, names), REMAINS_WITHIN)
        for name in names:
            (self.state.run / f"{name}.json").unlink(missing_ok=True)

    def _await_end(self, name: str, record: processes.Record | None, timeout: float, over: Event) -> None:
        """Wait until a process has ended and supervisord knows: it would take a start before that for one too many."""

        def ended() -> bool:
            if record and record.alive:
                return False
            supervised = self.supervisor.processes()  # makes supervisord look after its children now
            return supervised.get(name, {}).get("statename") != "STOPPING"

        deadline = time.monotonic() + timeout
        while not (over.is_set() or ended()) and time.monotonic() < deadline:
            over.wait(STOP_POLL)


def _server(service: Service, stack: Stack, state: State) -> Server:
    if service.embedded and service.embedded.engine == "nginx" and service.embedded.template is None:
        return Site(service, stack, state)
    return server_for(service, stack, state)


def _may_finish(program: Program) -> dict[str, str]:
    """Return supervisord's options for a program that may end: an end within a second is none too soon."""
    again = "false" if program.restart == "no" else "unexpected"
    return {"autorestart": again, "exitcodes": "0", "startsecs": "0"}


def _write(path: Path, content: bytes) -> bool:
    """Write a file for its owner's eyes; return whether its content changed."""
    if path.exists() and path.read_bytes() == content:
        return False
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _made(folder: Path) -> float | None:
    """Return when a folder was made, as far as its oldest file tells; one that goes meanwhile tells nothing."""
    times = []
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                times.append(path.lstat().st_mtime)
    return min(times, default=None)
