"""Remove the containers of a stack.

Compose is asked away from its files: it knows the containers by their labels then, and a file or settings that are
wrong by now cannot keep anything running. Only `pre_stop` needs the files, for it stands nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from stackhand.cli.failure import Failure
from stackhand.containers import docker
from stackhand.project import inherited
from stackhand.project.compose import resolution
from stackhand.project.state import State


def remove(project: str, state: State) -> list[str]:
    """Remove the containers, those that depend on others first, and return a sentence on hooks that were not run.

    Raises:
        Failure: they cannot be stopped.
    """
    notes = _run_hooks(project, state)
    args = ("compose", "--project-name", project, "down", "--remove-orphans")
    try:
        docker.run(*args, environment=inherited.environment("docker"), folder=Path("/"), timeout=None)
    except docker.Failed as error:
        raise Failure(f"{project} could not be stopped.", evidence=error.evidence, next=error.next) from error
    return notes


def _run_hooks(project: str, state: State) -> list[str]:
    """Have Compose stop the services with the commands that its files name."""
    names = state.read().pre_stop
    if not names:
        return []
    environment = {**resolution.environment(state.root, {}), "COMPOSE_PROJECT_NAME": project}
    try:
        docker.run("compose", "stop", environment=environment, folder=state.root, timeout=None)
    except docker.Failed as error:
        reason = next(iter(error.evidence), error.what)
        return [f"pre_stop of {', '.join(names)} was not run, or failed: {reason}"]
    return []
