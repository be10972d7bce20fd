"""See library/stack_containers.py for what this does."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import psutil

from stackhand.cli.failure import Failure
from stackhand.containers import docker
from stackhand.containers.unavailable import Unavailable
from stackhand.local.action import StackAction
from stackhand.local.engines.compose import gate
from stackhand.local.engines.compose.engine import Compose
from stackhand.local.engines.engine import Started
from stackhand.project import inherited

MODULE = "community.docker.docker_compose_v2"


class ActionModule(StackAction):
    """Lets Compose start the containers, and watches them meanwhile."""

    options = frozenset({"docker_host", "timeout"})

    def act(self, arguments: dict[str, Any], *, check: bool) -> dict[str, Any]:
        """Return how each start went."""
        engine = self.engine("compose", check=check)
        assert isinstance(engine, Compose)  # noqa: S101 - the line above
        inherited.restrict("compose")  # this task's own process, and the module's below it
        module = {
            "project_src": str(engine.state.root),
            "project_name": engine.project,
            "docker_host": arguments["docker_host"],
            "build": "never",
            "pull": "never",
            "remove_orphans": True,
        }
        if check:
            said = self.module(MODULE, module)
            # Compose cannot tell as long as the .env or an image is still to be made: then it would do everything.
            return {"changed": bool(said.get("changed") or said.get("failed")), "started": []}
        watch = _Watch(self, engine, float(arguments["timeout"]))
        watch.start()
        said = self.module(MODULE, module)
        watch.compose_ended()
        if said.get("failed") and watch.failure is None:
            watch.give_up()
            raise engine.explain(str(said.get("msg")), str(said.get("stderr", "")).splitlines())
        watch.join()
        if watch.failure:
            raise watch.failure
        engine.database.remember()
        steps = [{**each.to_step(), "changed": each.changed} for each in watch.started]
        shown = {} if self.told_at_once else {"steps": steps}
        return {"changed": bool(said.get("changed")), "started": steps, **shown}


class _Watch(threading.Thread):
    """Tells each service that is ready; ends Compose when one never will be."""

    def __init__(self, action: StackAction, engine: Compose, timeout: float) -> None:
        super().__init__(name="watch", daemon=True)
        self.started: list[Started] = []
        self.failure: Failure | None = None
        self._action, self._engine, self._timeout = action, engine, timeout
        self._before = gate.generations(engine.containers())
        self._ended, self._given_up = threading.Event(), threading.Event()

    def run(self) -> None:
        services = [self._engine.stack.services[name] for name in self._engine.services()]
        try:
            for started in gate.watch(
                services, self._look, self._timeout, before=self._before, at_work=lambda: not self._ended.is_set()
            ):
                self.started.append(started)
                self._action.tell_step(started.to_step(), changed=started.changed)
        except _GivenUp:
            pass
        except Failure as failure:
            self.failure = failure
            _end_compose()

    def compose_ended(self) -> None:
        """Say that what is there now will not be replaced any more."""
        self._ended.set()

    def give_up(self) -> None:
        """Stop watching."""
        self._given_up.set()
        self.join()

    def _look(self) -> dict[str, Any]:
        if self._given_up.is_set():
            raise _GivenUp
        try:
            return docker.containers(self._engine.project)
        except Unavailable as error:
            raise self._engine.explain(error.message, []) from error


class _GivenUp(Exception):  # noqa: N818 - an end, not a fault
    """Compose has failed: there is nothing to wait for."""


def _end_compose() -> None:
    """End the docker commands below this process: Compose would wait for what never gets healthy."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("docker"):
                process.terminate()
