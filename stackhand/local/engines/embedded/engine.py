"""The embedded engine: the stack as plain processes under supervisord, for machines with no container engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import NamedTuple

import msgspec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.local.engines.embedded import folders, gate, processes
from stackhand.local.engines.embedded.access import ProgramAccess
from stackhand.local.engines.embedded.servers import Program, Server
from stackhand.local.engines.status import Started
from stackhand.project import ownership
from stackhand.project.stack.model import Service
from stackhand.system import trees

STOP_WITHIN = 10.0
STOP_POLL = 0.01
"""Seconds between two looks at a service that ends: most need less than a tenth."""
REMAINS_WITHIN = 5.0
START_ONLY_WITHIN = 60.0


class Begun(NamedTuple):
    """A service on its way up since a moment of the monotonic clock; changed: whether it has to start."""

    start: gate.Start
    began: float
    changed: bool
    notes: list[str]


class EmbeddedEngine(ProgramAccess):
    """One checkout's stack as processes of this machine; see `Engine` for the surface."""

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
            changed |= ownership.update(self.state.services / f"{name}.json", msgspec.json.encode(program))
        changed |= self.supervisor.configure({name: each.options(STOP_WITHIN) for name, each in programs.items()})
        with self.state.edit() as memory:
            memory.engine, memory.name = self.name, self.stack.name
            memory.services, memory.needs = list(programs), self.stack.needs()
            memory.chosen, memory.unsupported = self._chosen, self.unsupported()
        changed |= self.supervisor.ensure()
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
        optional, failures, restarted = self.stack.dispensable, list[Failure](), set[str]()

        def begin(name: str) -> Begun:
            follows = not restarted.isdisjoint(servers[name].service.follows)
            return self._begin(servers[name], programs[name], again=follows)

        def finish(begun: Begun, stop: Event) -> Started | None:
            try:
                return self._finish(begun, timeout, stop)
            except Failure as failure:  # of one that the others do without
                if stop.is_set() or begun.start.program.name not in optional:
                    raise
                failures.append(failure)
                return None

        for started in filter(None, gate.in_order(needs, begin, finish)):
            restarted |= {started.name} if started.changed else set()
            yield started
        if failures:
            raise failures[0]

    def would_start(self) -> list[str]:
        """Return the services that do not run as the current settings want them."""
        finished = self.state.read().finished
        programs = [server.program() for server in self.servers().values()]
        names = {
            each.name for each in programs if finished.get(each.name) != each.fingerprint and self._needs_start(each)
        }
        names |= {*self.stack.followers(names)}
        return [each.name for each in programs if each.name in names]

    def _begin(self, server: Server, program: Program, *, again: bool = False) -> Begun:
        """Make what a service needs whose dependencies are up, and return it, ready to start; it may run already.

        With `again` it is started in any case, for one that it follows was.
        """
        began, log = time.monotonic(), self.log(program.name)
        start = gate.Start(server, program, log, log.stat().st_size if log.exists() else 0)
        changed = again or self._needs_start(program)
        return Begun(start, began, changed=changed, notes=self._make_ready(start) if changed else [])

    def _finish(self, begun: Begun, timeout: float, stop: Event) -> Started:
        """Start a service that is ready, and wait so many seconds until it can be used, or `stop` is set.

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
            stopped = self.supervisor.processes().get(name, processes.UNKNOWN).statename == "STOPPED"
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
        with self._lock, self.state.edit() as memory:
            before = memory.finished.get(program.name)
            memory.finished[program.name] = program.fingerprint
        return before != program.fingerprint

    def _make_ready(self, start: gate.Start) -> list[str]:
        self._stop([start.program.name], age=gate.STATE_AGE)  # one answer serves all that begin side by side
        notes = start.server.prepare()
        self._write_files(start.program)
        return notes

    def stay_up(self) -> None:
        """Wait until the services that nobody can ask have stayed up for a moment; see `gate.stay_up`."""
        self._stay_up(self.services())

    def _stay_up(self, names: Collection[str]) -> None:
        servers, programs = self.servers(), self.programs()
        unasked = [name for name in names if name in programs and programs[name].ready.kind == "process"]
        gate.stay_up(self.supervisor, [(servers[name], programs[name], self.log(name)) for name in unasked])

    def _needs_start(self, program: Program) -> bool:
        """Whether the service does not run, runs from another program than the current one, or runs unsupervised."""
        record = processes.read(self.state.run, program.name)
        if record is None or not record.alive or record.fingerprint != program.fingerprint:
            return True
        # What an interrupted restart is still stopping runs for a moment, and would end under whoever waits for it.
        supervised = self.supervisor.processes(age=gate.POLL).get(program.name, processes.UNKNOWN)
        return supervised == processes.UNKNOWN or supervised.statename == "STOPPING"

    def would_prepare(self) -> bool:
        """Whether `prepare` would do anything."""
        wanted = {name: server.program() for name, server in self.servers().items()}
        return wanted != self.programs() or not self.supervisor.processes()

    def restart(self, names: Sequence[str], timeout: float) -> Iterator[Started]:
        """Restart services and their followers with the current settings, and yield each once it can be used."""
        wanted = {*names, *self.stack.followers(names)}
        ran = {name for name in self.services() if processes.runs(self.state.run, name)}
        self._stop(reversed([name for name in self.services() if name in wanted]))
        self.prepare(lambda _: None)
        # supervisord ends whose own settings have changed, such as the place of launch.py after an upgrade
        wanted |= {name for name in ran if not processes.runs(self.state.run, name)}
        names = [name for name in self.services() if name in wanted]
        for name, server in self.servers().items():
            if name not in names:
                with suppress(OSError):  # nobody answers: it does not run, or not at the current port
                    server.reconcile()
        yield from self._side_by_side(names, timeout)
        self._stay_up(names)

    def down(self, *, volumes: bool) -> list[str]:
        """Stop everything; see `Engine.down`.

        Raises:
            Failure: some of the data cannot be removed.
        """
        ran = set(self._stop(reversed(list(self.programs())))) | set(self.supervisor.shutdown(STOP_WITHIN))
        self.state.remove_run()
        trees.remove(self.state.config)
        if self.state.read().finished:
            with self.state.edit() as memory:
                memory.finished = {}
        if volumes:
            folders.remove(self.state.data)
            folders.remove(self.state.services)
        return sorted(ran)

    def start_only(self, service: Service, progress: Callable[[str], None]) -> None:
        """Start the database and nothing else; see `Engine.start_only`."""
        progress(f"starting {service.name} on {self.name}")
        self.prepare(progress)
        list(self._side_by_side([service.name], START_ONLY_WITHIN))

    def _write_files(self, program: Program) -> None:
        for name, content in program.files.items():
            folders.write(Path(name), content.encode(), program.account)

    def _stop(self, names: Iterable[str], age: float = gate.POLL) -> list[str]:
        """Stop services, each once those that need it have ended, and return those that ran."""
        supervised = self.supervisor.processes(age=age)
        found = {name: supervised.get(name, processes.UNKNOWN).statename for name in names}
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
            for name in gate.in_order(self.needing(running), begin, finish):
                stopped.append(name)  # noqa: PERF402 - those that have ended are forgotten, even if the rest has not
        finally:
            self._forget(*stopped)
        return stopped

    def needing(self, names: Sequence[str]) -> dict[str, set[str]]:
        """Return services, each with those of them that need it; all in their order where that was not noted down."""
        needs = self.state.read().needs
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
            return supervised.get(name, processes.UNKNOWN).statename != "STOPPING"

        deadline = time.monotonic() + timeout
        while not (over.is_set() or ended()) and time.monotonic() < deadline:
            over.wait(STOP_POLL)
