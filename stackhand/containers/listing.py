"""The containers that the engine has: of a Compose project, by name, or at a port."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Any

from stackhand.cli.failure import Failure
from stackhand.containers import api
from stackhand.containers.docker import NOT_THERE, answer_within, run
from stackhand.containers.unavailable import Unavailable

Container = dict[str, Any]  # what `docker container inspect` says


def inspect(names: Sequence[str]) -> dict[str, Container]:
    """Return what the engine knows of containers, by their names; those that do not exist are left out."""
    if not names:
        return {}
    described = json.loads(run("container", "inspect", *names, accept=NOT_THERE).stdout or "[]")
    return {str(each["Name"]).lstrip("/"): each for each in described}


def listed(project: str, host: str = "") -> list[str]:
    """Return the ids of a Compose project's containers, running or not.

    Args:
        project: its name.
        host: the engine's address, where it is not the one in force.

    Raises:
        Unavailable: the engine cannot be asked.
    """
    if path := api.local_socket(host):
        with _telling_unavailable(path):
            return api.listed(path, project)
    label = f"label=com.docker.compose.project={project}"
    return run("ps", "--all", "--quiet", "--filter", label, host=host).stdout.split()


def containers(project: str) -> dict[str, list[Container]]:
    """Return the containers of a Compose project, running or not, by the names of their services, in their order.

    Raises:
        Unavailable: the engine cannot be asked.
    """
    path, identities = api.local_socket(), listed(project)
    if path:
        with _telling_unavailable(path):
            described = [api.inspect(path, each) for each in identities]
    else:
        described = list(inspect(identities).values())
    labelled = [(each["Config"]["Labels"], each) for each in described if each]
    services: dict[str, list[Container]] = {}
    for labels, each in sorted(labelled, key=lambda pair: int(pair[0].get("com.docker.compose.container-number", 1))):
        if labels.get("com.docker.compose.oneoff") != "True":  # a command that is run beside the service
            services.setdefault(str(labels["com.docker.compose.service"]), []).append(each)
    return services


@contextmanager
def _telling_unavailable(path: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise Unavailable(f"no answer within {api.ANSWER_WITHIN:g} s", f"unix://{path}") from error
    except PermissionError as error:
        raise Unavailable(f"permission denied while trying to connect to unix://{path}") from error
    except api.Refused as error:
        raise Unavailable(f"{path} answered: {error}", f"unix://{path}") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unavailable(f"Cannot connect to the Docker daemon at unix://{path}: {error}") from error
    except (OSError, HTTPException) as error:
        raise Unavailable(f"error during connect: {error or type(error).__name__}", f"unix://{path}") from error


def publisher(port: int) -> str | None:
    """Return in words which container publishes a port of this machine, if any is known to: for a sentence only."""
    try:
        result = run("ps", "--filter", f"publish={port}", "--format", "{{json .}}", timeout=answer_within())
    except Failure:
        return None
    for line in result.stdout.splitlines():
        container = json.loads(line)
        project = re.search(r"com\.docker\.compose\.project=([^,]+)", container.get("Labels", ""))
        folder = re.search(r"com\.docker\.compose\.project\.working_dir=([^,]+)", container.get("Labels", ""))
        return (
            f"container {container['Names']}"
            + (f" of the Compose project {project[1]}" if project else "")
            + (f" in {folder[1]}" if folder else "")
        )
    return None
