"""The containers of a stack as they are: what runs, what it answers, what it says and what it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from stackhand.cli import loglines
from stackhand.cli.loglines import Line
from stackhand.containers import api, docker, listing
from stackhand.containers.listing import Container
from stackhand.containers.unavailable import Unavailable
from stackhand.local.engines import health
from stackhand.local.engines.compose import containers, status, volumes
from stackhand.local.engines.engine import Engine
from stackhand.local.engines.status import ServiceStatus, StoredData
from stackhand.project.memory import HealthQuestion, Served
from stackhand.system import waiting


class ExistingContainers(Engine):
    """One checkout's containers, by the labels that Compose gave them; see `Engine` for the surface."""

    @property
    def project(self) -> str:
        """The name of the Compose project: the stack's, or that of the containers and volumes made last."""
        return self._stack.name if self._stack else volumes.project(self.state)

    @property
    def answer_within(self) -> float:
        """Seconds for all that `status` asks: more where a network is in between."""
        return docker.REMOTE_WITHIN if api.is_remote(api.address()) else super().answer_within

    def replicas(self) -> dict[str, list[Container]]:
        """Return the containers of this stack by service.

        Raises:
            Failure: the container engine cannot be asked; why is told.
        """
        return listing.containers(self.project) if self.project else {}

    def containers(self) -> dict[str, Container]:
        """Return a container of each service, that which is best off; raises as `replicas` does."""
        return {name: containers.best(replicas) for name, replicas in self.replicas().items()}

    def status(self) -> list[ServiceStatus]:
        """Return how each container is, and what the service in it answers at its published port."""
        containers, known = self.replicas(), self.state.read().served
        served = {name: known.get(name, Served()) for name in self.started()}
        calls = {name: partial(status.of, name, containers.get(name, ()), each) for name, each in served.items()}
        answers = waiting.gather(calls, health.ALL_WITHIN)
        late = {
            name: status.late(name, containers.get(name, ()), each)
            for name, each in served.items()
            if name not in answers
        }
        return list((late | answers).values())

    def runs(self) -> bool:
        """Whether there is any container of this stack, running or not."""
        return bool(self.project and listing.listed(self.project))

    def still_running(self) -> bool:
        """Whether there is any container where it was made; see `Engine.still_running`.

        The docker command may ask another engine by now, and what does not answer may run all the same: only a socket
        of this machine at which no process listens says that nothing runs.
        """
        where = volumes.awaited(self.state)
        if where == api.address():
            where = ""  # asked as the settings say, with the certificates of a context
        try:
            return bool(self.project and listing.listed(self.project, where))
        except Unavailable as error:
            if error.stopped and (not where or error.address == where):
                return False
            raise

    def elsewhere(self) -> str:
        """Return a sentence on containers and volumes of another container engine; see `Engine.elsewhere`."""
        where, here = self.state.read().compose.host, api.address()
        if where in {"", here}:
            return ""
        if not self.is_unattended() and (self.runs() or self.volumes()):  # one engine may have two addresses
            return ""
        return f"the containers and volumes of {self.project} were created on {where}, but docker now uses {here}"

    def is_unattended(self) -> bool:
        """Whether no container engine is in force any more, and another one had the containers."""
        here = api.address()
        return self.state.read().compose.host not in {"", here} and api.is_vacant(here)

    def give_up_elsewhere(self) -> bool:
        """Let an engine go that does not answer; see `Engine.give_up_elsewhere`."""
        try:
            self.still_running()
        except Unavailable:
            volumes.give_up(self.state)
            return True
        return False

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
        return listing.publisher(port) or super().holder(port)

    def question(self, name: str) -> HealthQuestion:
        """Return how a service that was started last is asked for its health."""
        served = self.state.read().served.get(name, Served())
        return status.bound(served, self.containers().get(name) if served.target else None).question

    def lines(self, name: str, count: int) -> list[Line]:
        """Return the last lines of the logs of a service's containers, with the times the engine noted."""
        replicas = self.replicas().get(name, [])
        return loglines.merged([containers.log(containers.name_of(each), name, count) for each in replicas])[-count:]

    def follow(self, names: Sequence[str]) -> Iterator[Line]:
        """Yield what the containers say from now on, until interrupted."""
        running = self.replicas()
        return containers.follow({containers.name_of(each): name for name in names for each in running.get(name, ())})

    def volumes(self) -> list[str]:
        """Return the names of this stack's volumes; raises as `containers` does."""
        if not self.project:  # nothing was started yet, or `down` has removed it all
            return []
        label = f"label=com.docker.compose.project={self.project}"
        return docker.run("volume", "ls", "--quiet", "--filter", label).stdout.split()

    def data(self) -> list[StoredData]:
        """Return the volumes of this stack."""
        return volumes.described(self.volumes())

    def used(self) -> bool:
        """Whether containers and volumes of this checkout were made here."""
        return volumes.remembered(self.state)
