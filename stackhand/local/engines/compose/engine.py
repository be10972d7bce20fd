"""The compose engine: the stack as containers. Compose starts and stops them, by way of the role `stack`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from stackhand.cli import loglines
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import Line
from stackhand.containers import api, docker, images
from stackhand.containers.unavailable import Unavailable
from stackhand.local.engines import health, login
from stackhand.local.engines.compose import containers, gate, kept, preflight, status, superuser
from stackhand.local.engines.compose.containers import Container
from stackhand.local.engines.compose.database import ComposeDatabase
from stackhand.local.engines.engine import CONNECT_WITHIN, Engine, Kept, Started
from stackhand.local.engines.login import SUPERUSER, Login, own_settings, wanted
from stackhand.local.engines.status import ServiceStatus
from stackhand.project import inherited, resolution
from stackhand.project.model import TARGETS, Service, Stack
from stackhand.project.state import State
from stackhand.system import program, waiting

TAIL = 5
READ = 'for file; do cat "$file" && printf "\\0" || exit 1; done'


class Compose(Engine):
    """One checkout's stack in containers; see `Engine` for the surface."""

    name = "compose"
    asked = "the container engine"

    def __init__(self, state: State, stack: Stack | None = None) -> None:
        super().__init__(state, stack)
        self._superusers: dict[str, str] = {}

    @property
    def project(self) -> str:
        """The name of the Compose project: the stack's, or that of the containers and volumes made last."""
        return self._stack.name if self._stack else kept.project(self.state)

    @property
    def answer_within(self) -> float:
        """Seconds for all that `status` asks: more where a network is in between."""
        return docker.REMOTE_WITHIN if api.is_remote(api.address()) else super().answer_within

    @property
    def databases(self) -> list[ComposeDatabase]:
        """PostgreSQL's volumes, and the logins of the settings."""
        return ComposeDatabase.all_of(self)

    def _must_reconcile(self) -> bool:
        return any(each.must_reconcile() for each in self.databases)

    def _reconcile(self, progress: Callable[[str], None]) -> list[str]:
        return [note for each in self.databases for note in each.reconcile(progress)]

    def _remember_databases(self) -> None:
        for each in self.databases:
            each.remember()

    def environment(self) -> dict[str, str]:
        """Return what Compose needs to know beyond `.env`."""
        overlay = resolution.overlay_variables(self.stack.root)
        variables = {"COMPOSE_PROJECT_NAME": self.project, **overlay, **self._targets()}
        if bundle := images.certificates():
            variables["CA_BUNDLE"] = bundle
        return variables

    def _targets(self) -> dict[str, str]:
        """Return whom the services that ask for it watch.

        Compose fills in one value of a variable for all of them, so none of them is in `HEALTH_TARGETS`; a second one
        that is to watch the first has a variable of its own, `HEALTH_TARGETS_` and its name.
        """

        def without(*asking: str) -> str:
            return self.stack.health_targets(
                asking, self.stack.services, lambda other: f"{other.name}:{other.main_port and other.main_port.target}"
            )

        watchers = self.stack.watchers
        own = {f"{TARGETS}_{re.sub(r'[^A-Z0-9]', '_', name.upper())}": without(name) for name in watchers}
        return {TARGETS: without(*watchers), **own}

    def services(self) -> list[str]:
        """Return all services but those with no replica, or a schedule: every one has an image or can be built."""
        services = self.stack.services.values()
        return [service.name for service in services if service.replicas and not service.scheduled]

    def unsupported(self) -> list[str]:
        """Return nothing: what Compose can run, runs."""
        return []

    # --- reading -------------------------------------------------------------------------------------------

    def replicas(self) -> dict[str, list[Container]]:
        """Return the containers of this stack by service.

        Raises:
            Failure: the container engine cannot be asked; why is told.
        """
        return docker.containers(self.project) if self.project else {}

    def containers(self) -> dict[str, Container]:
        """Return a container of each service, that which is best off; raises as `replicas` does."""
        return {name: containers.best(replicas) for name, replicas in self.replicas().items()}

    def status(self) -> list[ServiceStatus]:
        """Return how each container is, and what the service in it answers at its published port."""
        containers = self.replicas()
        served = self.state.read().get("served", {})
        calls = {
            name: partial(status.of, name, containers.get(name, ()), served.get(name, {})) for name in self.started()
        }
        answers = waiting.gather(calls, health.ALL_WITHIN)
        late = {name: ServiceStatus.late(name, str(served.get(name, {}).get("address", "")), []) for name in calls}
        return list((late | answers).values())

    def runs(self) -> bool:
        """Whether there is any container of this stack, running or not."""
        return bool(self.project and docker.listed(self.project))

    def still_running(self) -> bool:
        """Whether there is any container where it was made; see `Engine.still_running`.

        The docker command may ask another engine by now, and what does not answer may run all the same: only a socket
        of this machine at which no process listens says that nothing runs.
        """
        where = kept.awaited(self.state)
        if where == api.address():
            where = ""  # asked as the settings say, with the certificates of a context
        try:
            return bool(self.project and docker.listed(self.project, where))
        except Unavailable as error:
            if error.stopped and (not where or error.address == where):
                return False
            raise

    def elsewhere(self) -> str:
        """Return a sentence on containers and volumes of another container engine; see `Engine.elsewhere`."""
        where, here = kept.host(self.state), api.address()
        if where in {"", here}:
            return ""
        if not self.is_unattended() and (self.runs() or self.volumes()):  # one engine may have two addresses
            return ""
        return f"the containers and volumes of {self.project} were created on {where}, but docker now uses {here}"

    def is_unattended(self) -> bool:
        """Whether no container engine is in force any more, and another one had the containers."""
        here = api.address()
        return kept.host(self.state) not in {"", here} and api.is_vacant(here)

    def give_up_elsewhere(self) -> bool:
        """Let an engine go that does not answer; see `Engine.give_up_elsewhere`."""
        try:
            self.still_running()
        except Unavailable:
            kept.give_up(self.state)
            return True
        return False

    def unchanged(self) -> bool:
        """Whether the containers are those that Compose would make now, and healthy."""
        remembered = self.state.read()
        numbers = {name: len(replicas) for name, replicas in self.replicas().items()}
        if numbers != {name: self.stack.services[name].replicas for name in self.services()}:
            return False
        if self._must_reconcile():
            return False
        if remembered.get("images") != self._image_fingerprints():
            return False
        return not self.would_start() and all(each.healthy for each in self.status())

    def own_ports(self) -> set[int]:
        """Return the ports that the running containers publish."""
        return set().union(*self.listeners().values())

    def listeners(self) -> dict[str, set[int]]:
        """Return the ports that the containers publish, by service."""
        return {
            name: {port for each in replicas for port in containers.published(each)}
            for name, replicas in self.replicas().items()
        }

    def holder(self, port: int) -> str:
        """Return in words who holds a port: a container, by name, or a process."""
        return docker.publisher(port) or super().holder(port)

    def question(self, name: str) -> dict[str, Any] | None:
        """Return how a service that was started last is asked for its health."""
        question = self.state.read().get("served", {}).get(name)
        if question and question.get("target"):
            question = status.bound(question, self.containers().get(name))
        return dict(question["question"]) if question else None

    def lines(self, name: str, count: int) -> list[Line]:
        """Return the last lines of the logs of a service's containers, with the times the engine noted."""
        replicas = self.replicas().get(name, [])
        return loglines.merged([containers.log(containers.name_of(each), name, count) for each in replicas])[-count:]

    def follow(self, names: Sequence[str]) -> Iterator[Line]:
        """Yield what the containers say from now on, until interrupted."""
        running = self.replicas()
        return containers.follow({containers.name_of(each): name for name in names for each in running.get(name, ())})

    # --- acting --------------------------------------------------------------------------------------------

    def prepare(self, progress: images.Progress) -> tuple[bool, list[str]]:
        """Have every image, and a database that the settings open; see `Engine.prepare`.

        Raises:
            Failure: an image cannot be pulled or built, or the database cannot be opened.
        """
        self.state.make()
        preflight.require_ours(self.containers().values(), self.state.root)
        done = [*filter(None, [self.elsewhere()]), *kept.shared(self.state, self.volumes())]
        done += self._have_images(progress)
        self.state.remember(
            engine=self.name,
            name=self.stack.name,
            services=self.services(),
            served=self._served(self.services()),
            compose=kept.memory(self.stack),
        )
        self.state.remember(images=self._image_fingerprints())
        try:
            notes = self._reconcile(progress)
        except Unavailable as error:
            raise containers.engine_stopped(error.message) from error
        return bool(done or notes), [*done, *notes]

    def would_prepare(self) -> bool:
        """Whether `prepare` would do anything."""
        names = [images.image_of(each, self.stack) for each in self.stack.services.values()]
        return (
            len(images.present(names)) < len(set(names))
            or self.state.read().get("images") != self._image_fingerprints()
            or self._must_reconcile()
        )

    def start(self, timeout: float) -> Iterator[Started]:
        """Have Compose start the containers, and yield each service once it can be used; see `Engine.start`."""
        idle = [f"--scale={each.name}=0" for each in self.stack.services.values() if each.scheduled]
        yield from self._up(self.services(), timeout, "--no-build", "--pull", "never", "--remove-orphans", *idle)
        self._remember_databases()
        self.state.remember(unlike=self._unlike() or None)

    def _unlike(self) -> dict[str, list[str]]:
        """Return the hashes of services whose container has another one than Compose tells of its files.

        With an optional dependency that does not run, `up` takes the hash without it, and `config` with it.
        """
        hashes = self._hashes()
        labels = {name: _hash(replicas[0]) for name, replicas in self.replicas().items()}
        return {name: [hashes[name], labels[name]] for name in labels if labels[name] != hashes.get(name, labels[name])}

    def _hashes(self) -> dict[str, str]:
        return dict(line.split() for line in self._config("--hash", "*").splitlines())

    def would_start(self) -> list[str]:
        """Return the services whose container does not run, or is not the one that Compose would make now."""
        existing = self.replicas()
        try:
            hashes = self._hashes()
        except docker.Failed:  # as long as .env is still to be made, Compose cannot tell; `prepare` tells of the rest
            return self.services()
        ids = images.present(images.image_of(each, self.stack) for each in self.stack.services.values())

        unlike = self.state.read().get("unlike", {})

        def current(name: str) -> bool:
            return bool(existing.get(name)) and all(is_current(name, each) for each in existing[name])

        def is_current(name: str, container: Container) -> bool:
            if containers.exited(container) and not self.stack.services[name].may_finish:
                return False
            same = _hash(container) == hashes.get(name) or unlike.get(name) == [hashes.get(name), _hash(container)]
            return same and container["Image"] in ids.values()

        return [name for name in self.services() if not current(name)]

    def stay_up(self) -> None:
        """Do nothing: `gate` has waited for that, service by service."""

    def explain(self, message: str, out: Sequence[str]) -> Failure:
        """Return the failure of a start that Compose gave up, from what it said and how the containers are."""
        try:
            existing = {name: containers.worst(each) for name, each in self.replicas().items()}
        except Unavailable as error:
            return containers.engine_stopped(error.message)
        return containers.up_failed(message, existing, out)

    def restart(self, names: Sequence[str], timeout: float) -> Iterator[Started]:
        """Make the containers of some services again, and yield each service once it can be used."""
        preflight.require_ours(self.containers().values(), self.state.root)
        self.state.remember(served=self.state.read().get("served", {}) | self._served(names))
        notes = self._reconcile(lambda _: None)
        self._remember_databases()
        # What shares a network namespace comes second: the container that has it must be there.
        for some in filter(None, (names, self.stack.followers(names))):
            for started in self._up(some, timeout, "--no-deps", "--force-recreate", *some):
                started.notes += notes
                notes = []
                yield started

    def down(self, *, volumes: bool) -> list[str]:
        """Remove the containers, those that depend on others first; see `Engine.down`.

        Compose is asked away from its files: it knows the containers by their labels then, and a file or settings
        that are wrong by now cannot keep anything running.
        """
        existing = self.containers()
        preflight.require_ours(existing.values(), self.state.root)
        if volumes:
            kept.require_ours(self.state)
        self._stop()
        if volumes:
            for volume in self.volumes():
                docker.run("volume", "rm", volume)
        return sorted(name for name, each in existing.items() if not containers.exited(each))

    def _stop(self) -> None:
        args = ("compose", "--project-name", self.project, "down", "--remove-orphans")
        try:
            docker.run(*args, environment=inherited.environment("docker"), folder=Path("/"), timeout=None)
        except docker.Failed as error:
            raise Failure(f"{self.project} could not be stopped.", evidence=error.evidence, next=error.next) from error

    def data(self) -> list[Kept]:
        """Return the volumes of this stack."""
        return kept.described(self.volumes())

    def used(self) -> bool:
        """Whether containers and volumes of this checkout were made here."""
        return kept.remembered(self.state)

    def start_only(self, service: Service, progress: images.Progress) -> None:
        """Start the database and nothing else; see `Engine.start_only`."""
        preflight.require_ours(self.containers().values(), self.state.root)
        self._reconcile(progress)
        progress(f"starting {service.name} on {self.name}")
        ComposeDatabase(self, service).start()

    def client(
        self, service: Service, tool: str, database: str, *, login: Login | None = None, interactive: bool = False
    ) -> tuple[list[str], dict[str, str]]:
        """Return how to run one of PostgreSQL's programs in the container; its superuser has the socket only."""
        user, password, _ = wanted(service)
        host = "127.0.0.1"
        if login == SUPERUSER:
            user, host = self._superuser(service, user)
        elif login:
            user, password = login.user, login.password
        port = service.main_port.target if service.main_port else 5432
        settings = (
            *(f"PGHOST={host}", f"PGPORT={port}", f"PGUSER={user}", f"PGDATABASE={database}", "PGPASSWORD"),
            *("PGCLIENTENCODING=UTF8", f"PGCONNECT_TIMEOUT={CONNECT_WITHIN}"),
            *([] if interactive else [f"PGOPTIONS={own_settings(login)}"]),
        )
        args = [word for setting in settings for word in ("--env", setting)]
        return [*self.execute(service, *args, interactive=interactive), tool], inherited.environment(
            "docker", PGPASSWORD=password
        )

    def _superuser(self, service: Service, user: str) -> tuple[str, str]:
        """Return a superuser, and where it is let in: at the socket, where it is not the role of the settings."""
        if service.name not in self._superusers:
            self._superusers[service.name] = superuser.find(*self.client(service, "psql", "postgres"), user)
        login = self._superusers[service.name]
        return login, "127.0.0.1" if login == user else superuser.SOCKET

    def cache_client(self, service: Service) -> tuple[list[str], dict[str, str]]:
        """Return the client that is in the container."""
        script = 'exec "$(command -v valkey-cli || command -v redis-cli)"'
        args = self.execute(service, "--env", "REDISCLI_AUTH", interactive=True)
        return [*args, "sh", "-c", script], inherited.environment("docker", REDISCLI_AUTH=login.of_cache(service))

    def run(self, service: Service, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container, and return what it said; that of a job has ended, so in a new one."""
        if not service.job:
            return program.run([*self.execute(service), *args], environment=inherited.environment("docker"))
        one_off = ["docker", "compose", "--progress", "quiet", "run", "--rm", "--no-deps", "-T", service.name]
        environment = docker.surroundings() | self.environment()
        return program.run([*one_off, *args], environment=environment, folder=self.state.root)

    def run_job(self, service: Service, line: Callable[[str], None]) -> int:
        """Run a job in a container of its own, which is removed at its end."""
        args = ["docker", "compose", "--progress", "quiet", "run", "--rm", "--no-deps", "-T", service.name]
        environment = docker.surroundings() | self.environment()
        return program.follow(args, line, environment=environment, folder=self.state.root)

    def shell(self, service: Service) -> tuple[list[str], dict[str, str], str]:
        """Return a shell in the service's container."""
        return [*self.execute(service, interactive=True), "sh"], inherited.environment("docker"), str(self.state.root)

    # --- details -------------------------------------------------------------------------------------------

    def _served(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        return {name: status.served(self.stack.services[name]) for name in names}

    def _config(self, *flags: str) -> str:
        """Return what Compose makes of its file.

        Raises:
            Failure: it does not accept the file; why is told.
        """
        environment = docker.surroundings() | self.environment()
        return docker.run("compose", "config", *flags, environment=environment, folder=self.state.root).stdout

    def _have_images(self, progress: images.Progress) -> list[str]:
        """Pull what is missing and build what has changed; return what was done."""
        services = self.stack.services.values()
        known = images.present(images.image_of(each, self.stack) for each in services)
        built = self.state.read().get("images", {})
        here = {images.image_of(each, self.stack) for each in services if each.build}  # in no registry
        pulled = {str(each.image) for each in services if each.build is None}
        missing = sorted(pulled - {*known, *here})
        stale = [
            each
            for each in services
            if each.build and (images.image_of(each, self.stack) not in known or not self._is_built(each, built))
        ]
        if missing or stale:
            preflight.require_disk()
        for image in missing:
            users = ", ".join(each.name for each in services if each.image == image)
            images.pull(image, users, progress)
        stale = list({images.image_of(each, self.stack): each for each in reversed(stale)}.values())[::-1]
        for service in stale:  # one for each image: a job may have that of the service it runs before
            images.build(service, self.stack, docker.surroundings() | self.environment(), progress)
        return [*(f"pulled {image}" for image in missing), *(f"built {each.name}" for each in stale)]

    def _is_built(self, service: Service, built: Mapping[str, str]) -> bool:
        current = images.fingerprint(service, self.stack)
        return bool(current) and built.get(service.name) == current

    def _image_fingerprints(self) -> dict[str, str]:
        services = self.stack.services.values()
        return {each.name: images.fingerprint(each, self.stack) for each in services if each.build}

    def volumes(self) -> list[str]:
        """Return the names of this stack's volumes; raises as `containers` does."""
        if not self.project:  # nothing was started yet, or `down` has removed it all
            return []
        label = f"label=com.docker.compose.project={self.project}"
        return docker.run("volume", "ls", "--quiet", "--filter", label).stdout.split()

    def execute(self, service: Service, *flags: str, interactive: bool = False) -> list[str]:
        """Return the beginning of a command that runs in a service's container; see `Engine.execute`."""
        container = self.containers().get(service.name)
        if service.job and container and container["State"]["Status"] == "exited":
            raise Failure(
                f"{service.name} is a job and has run to its end ({containers.summary(container)}): nothing runs.",
                next=f"./inv restart {service.name} runs it again; ./inv logs {service.name} shows what it reported",
                code=ExitCode.UNHEALTHY,
            )
        if container is None or container["State"]["Status"] != "running":
            raise Failure(f"{service.name} is not running.", next="./inv up", code=ExitCode.UNHEALTHY)
        terminal = _terminal() if interactive else []
        return ["docker", "exec", "--interactive", *terminal, *flags, containers.name_of(container)]

    def revealed(self, service: Service, names: Sequence[str]) -> Service:
        """Read the files of variables in the container, where the image reads them; see `Engine.revealed`."""
        files = {name: path for name in names if (path := service.environment.get(f"{name}_FILE"))}
        if not files:
            return service
        done = program.run(
            [*self.execute(service), "sh", "-c", READ, "sh", *files.values()],
            environment=inherited.environment("docker"),
        )
        values = done.stdout.split("\0")[:-1]
        if done.returncode != 0 or len(values) != len(files):
            raise Failure(
                f"{service.name} has no readable {', '.join(files.values())}.",
                evidence=done.stderr.splitlines()[-TAIL:],
                next=f"./inv logs {service.name}",
            )
        read = {name: value.rstrip("\n") for name, value in zip(files, values, strict=True)}
        return msgspec.structs.replace(service, environment={**service.environment, **read})

    def _up(self, names: Sequence[str], timeout: float, *args: str) -> Iterator[Started]:
        """Run `docker compose up` and watch its containers meanwhile: Compose reports only when all are done.

        It is ended when a service never will be healthy, since it would wait for that, and when nobody waits any more.
        """
        services = [self.stack.services[name] for name in names]
        before = gate.generations(self.replicas())
        command = ["docker", "compose", "--ansi", "never", "--progress", "plain", "up", "--detach", *args]
        environment = docker.surroundings() | self.environment()
        with docker.running(command, environment=environment, folder=self.state.root) as process:

            def look() -> dict[str, list[Container]]:
                if process.failed():
                    lines = process.output().splitlines()
                    raise self.explain(lines[-1] if lines else "docker compose up failed", lines)
                try:
                    return self.replicas()
                except Unavailable as error:
                    raise self.explain(error.message, []) from error

            optional = self.stack.dispensable
            yield from gate.watch(
                services, look, timeout, before=before, dispensable=optional, at_work=process.is_running
            )
            process.wait()
            look()

    def compose(self, *arguments: str) -> None:
        """Run a command of Compose on this stack.

        Raises:
            Failure: it failed; why is told as for a start.
        """
        environment = docker.surroundings() | self.environment()
        args = ("compose", "--progress", "plain", *arguments)
        try:
            docker.run(*args, environment=environment, folder=self.state.root, timeout=None)
        except docker.Failed as error:
            lines = error.message.splitlines()
            raise self.explain(lines[-1], lines) from error


def _hash(container: Container) -> str:
    return str(container["Config"]["Labels"].get("com.docker.compose.config-hash"))


def _terminal() -> list[str]:
    """Return the flag for a command that a person types into."""
    streams = (sys.stdin, sys.stdout)  # Ansible's workers have closed theirs
    return ["--tty"] if all(each and not each.closed and each.isatty() for each in streams) else []
