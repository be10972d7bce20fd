"""The compose engine: the stack as containers. Compose starts and stops them, by way of the role `stack`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from stackhand.cli.failure import Failure
from stackhand.containers import docker, images
from stackhand.containers.endpoint import Unavailable
from stackhand.containers.listing import Container
from stackhand.local.engines.compose import containers, failures, gate, status, volumes
from stackhand.local.engines.compose.access import ContainerAccess
from stackhand.local.engines.compose.database import ComposeDatabase
from stackhand.local.engines.compose.volumes import require_own
from stackhand.local.engines.status import Started
from stackhand.project import inherited
from stackhand.project.compose import composefiles, resolution
from stackhand.project.memory import ComposeProject, Served
from stackhand.project.stack.model import TARGETS, Service


class Compose(ContainerAccess):
    """One checkout's stack in containers; see `Engine` for the surface."""

    name = "compose"
    asked = "the container engine"

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
        root = self.stack.root
        files = composefiles.env_files(root) | composefiles.overlay_variables(root)
        variables = {"COMPOSE_PROJECT_NAME": self.project, **files, **self._targets()}
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
                asking, self.stack.services, lambda other: f"{other.name}:{other.inner_port}"
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

    def unchanged(self) -> bool:
        """Whether the containers are those that Compose would make now, and healthy."""
        numbers = {name: len(replicas) for name, replicas in self.replicas().items()}
        return (
            numbers == {name: self.stack.services[name].replicas for name in self.services()}
            and not self._must_reconcile()
            and self.state.read().images == images.fingerprints(self.stack)
            and not self.would_start()
            and all(each.healthy for each in self.status())
        )

    # --- acting --------------------------------------------------------------------------------------------

    def prepare(self, progress: images.Progress) -> tuple[bool, list[str]]:
        """Have every image, and a database that the settings open; see `Engine.prepare`.

        Raises:
            Failure: an image cannot be pulled or built, or the database cannot be opened.
        """
        self.state.make()
        self._require_own()
        done = [*filter(None, [self.elsewhere()]), *volumes.shared(self.state, self.volumes())]
        done += self._have_images(progress)
        with self.state.edit() as memory:
            memory.engine, memory.name = self.name, self.stack.name
            memory.services, memory.served = self.services(), self._served(self.services())
            memory.compose = ComposeProject(self.stack.name, str(self.stack.root), docker.host())
            memory.pre_stop = [each.name for each in self.stack.services.values() if each.pre_stop]
            memory.images = images.fingerprints(self.stack)
        try:
            notes = self._reconcile(progress)
        except Unavailable as error:
            raise failures.engine_stopped(error.message) from error
        return bool(done or notes), [*done, *notes]

    def would_prepare(self) -> bool:
        """Whether `prepare` would do anything."""
        names = [images.image_of(each, self.stack) for each in self.stack.services.values()]
        return (
            len(images.present(names)) < len(set(names))
            or self.state.read().images != images.fingerprints(self.stack)
            or self._must_reconcile()
        )

    def start(self, timeout: float) -> Iterator[Started]:
        """Have Compose start the containers, and yield each service once it can be used; see `Engine.start`."""
        idle = [f"--scale={each.name}=0" for each in self.stack.services.values() if each.scheduled]
        yield from self._up(self.services(), timeout, "--no-build", "--pull", "never", "--remove-orphans", *idle)
        self._remember_databases()
        unlike = self._unlike()
        with self.state.edit() as memory:
            memory.unlike = unlike

    def _unlike(self) -> dict[str, list[str]]:
        """Return the hashes of services whose container has another one than Compose tells of its files.

        With an optional dependency that does not run, `up` takes the hash without it, and `config` with it.
        """
        hashes = self._hashes()
        labels = {name: containers.config_hash(replicas[0]) for name, replicas in self.replicas().items()}
        return {name: [hashes[name], labels[name]] for name in labels if labels[name] != hashes.get(name, labels[name])}

    def _hashes(self) -> dict[str, str]:
        return dict(line.split() for line in self.config("--hash", "*").splitlines())

    def would_start(self) -> list[str]:
        """Return the services whose container does not run, or is not the one that Compose would make now."""
        existing = self.replicas()
        try:
            hashes = self._hashes()
        except docker.Failed:  # as long as .env is still to be made, Compose cannot tell; `prepare` tells of the rest
            return self.services()
        ids = images.present(images.image_of(each, self.stack) for each in self.stack.services.values())
        unlike = self.state.read().unlike

        def is_current(name: str, container: Container) -> bool:
            if containers.exited(container) and not self.stack.services[name].may_finish:
                return False
            wanted, own = hashes.get(name), containers.config_hash(container)
            return container["Image"] in ids.values() and (own == wanted or unlike.get(name) == [wanted, own])

        return [
            name
            for name in self.services()
            if not (existing.get(name) and all(is_current(name, each) for each in existing[name]))
        ]

    def stay_up(self) -> None:
        """Do nothing: `gate` has waited for that, service by service."""

    def explain(self, message: str, out: Sequence[str]) -> Failure:
        """Return the failure of a start that Compose gave up, from what it said and how the containers are."""
        try:
            existing = {name: containers.worst(each) for name, each in self.replicas().items()}
        except Unavailable as error:
            return failures.engine_stopped(error.message)
        return failures.up_failed(message, existing, out)

    def restart(self, names: Sequence[str], timeout: float) -> Iterator[Started]:
        """Make the containers of some services again, and yield each service once it can be used."""
        self._require_own()
        with self.state.edit() as memory:
            memory.served |= self._served(names)
        notes = self._reconcile(lambda _: None)
        self._remember_databases()
        # What shares a network namespace comes second: the container that has it must be there.
        for some in filter(None, (names, self.stack.followers(names))):
            for started in self._up(some, timeout, "--no-deps", "--force-recreate", *some):
                started.notes += notes
                notes = []
                yield started

    def down(self, *, volumes: bool) -> list[str]:
        """Remove the containers, and the volumes if asked to; see `Engine.down`."""
        existing = self._require_own()
        if volumes:
            require_own(self.state)
        self.notes = self._stop_with_hooks()
        self._remove()
        if volumes:
            for volume in self.volumes():
                docker.run("volume", "rm", volume)
        return sorted(name for name, each in existing.items() if not containers.exited(each))

    def start_only(self, service: Service, progress: images.Progress) -> None:
        """Start the database and nothing else; see `Engine.start_only`."""
        self._require_own()
        self._reconcile(progress)
        progress(f"starting {service.name} on {self.name}")
        ComposeDatabase(self, service).start()

    # --- details -------------------------------------------------------------------------------------------

    def _stop_with_hooks(self) -> list[str]:
        """Stop the services with their `pre_stop`, which stands nowhere but in the files; say which were not run."""
        names = self.state.read().pre_stop
        if not names:
            return []
        environment = {**resolution.environment(self.state.root, {}), "COMPOSE_PROJECT_NAME": self.project}
        try:
            docker.run("compose", "stop", environment=environment, folder=self.state.root, timeout=None)
        except docker.Failed as error:
            reason = next(iter(error.evidence), error.what)
            return [f"pre_stop of {', '.join(names)} was not run, or failed: {reason}"]
        return []

    def _remove(self) -> None:
        """Remove the containers, those that depend on others first.

        Compose is asked away from its files: it knows the containers by their labels then, and a file or settings that
        are wrong by now cannot keep anything running.

        Raises:
            Failure: they cannot be stopped.
        """
        args = ("compose", "--project-name", self.project, "down", "--remove-orphans")
        try:
            docker.run(*args, environment=inherited.environment("docker"), folder=Path("/"), timeout=None)
        except docker.Failed as error:
            raise Failure(f"{self.project} could not be stopped.", evidence=error.evidence, next=error.next) from error

    def _require_own(self) -> dict[str, Container]:
        """Return the containers; refuse those of another checkout, of which this one is a copy."""
        existing = self.containers()
        containers.require_own(existing.values(), self.state.root)
        return existing

    def _served(self, names: Sequence[str]) -> dict[str, Served]:
        return {name: status.served(self.stack.services[name]) for name in names}

    def _have_images(self, progress: images.Progress) -> list[str]:
        """Pull what is missing and build what has changed; return what was done."""
        missing, stale = images.wanting(self.stack, self.state.read().images or {})
        if missing or stale:
            images.require_disk()
        for image in missing:
            users = ", ".join(each.name for each in self.stack.services.values() if each.image == image)
            images.pull(image, users, progress)
        for service in stale:
            images.build(service, self.stack, self.compose_environment(), progress)
        return [*(f"pulled {image}" for image in missing), *(f"built {each.name}" for each in stale)]

    def _up(self, names: Sequence[str], timeout: float, *args: str) -> Iterator[Started]:
        """Run `docker compose up` and watch its containers meanwhile: Compose reports only when all are done.

        It is ended when a service never will be healthy, since it would wait for that, and when nobody waits any more.
        """
        services = [self.stack.services[name] for name in names]
        before = gate.generations(self.replicas())
        command = ["docker", "compose", "--ansi", "never", "--progress", "plain", "up", "--detach", *args]
        with docker.running(command, environment=self.compose_environment(), folder=self.state.root) as process:

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
        args = ("compose", "--progress", "plain", *arguments)
        try:
            docker.run(*args, environment=self.compose_environment(), folder=self.state.root, timeout=None)
        except docker.Failed as error:
            lines = error.message.splitlines()
            raise self.explain(lines[-1], lines) from error
