"""A project that is not ours: a Compose file and what it names, on which this checkout's toolkit acts."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stackhand.system import roots
from tests.checkout import ROOT, Checkout, clean_environment, docker, free_ports
from tests.leaks import Leaks

STACKS = Path(__file__).parent
INV = f"""#!/bin/sh
{roots.VARIABLE}='{{{roots.VARIABLE}}}' exec '{ROOT}/.venv/bin/python' -P -m stackhand "$@"
"""
FIRST = ["WEB", "SITE", "RAILS", "HTTP", "EXTENDS", "CORE", "PROXY", "AIRFLOW", "FRONT"]
"""The variables of the first port of a stack."""


class Foreign(Checkout):
    """A stack of this folder in a place of its own."""

    @classmethod
    def of(cls, stack: str, place: Path, engine: str) -> Foreign:
        """Copy a stack of this folder."""
        path = place / f"{stack}-{place.name[-4:].lower().replace('_', 'x')}"  # which Compose takes as it is
        path.mkdir()
        shutil.copytree(STACKS / stack, path, dirs_exist_ok=True)
        (path / "inv").write_text(INV.format(**{roots.VARIABLE: path}), encoding="utf-8")
        (path / "inv").chmod(0o755)
        first = free_ports()["WEB_PORT"]
        ports = {**{f"{name}_PORT": first for name in FIRST}, "GRPC_PORT": first + 1, "STATSD_PORT": first + 2}
        found = cls(path, ports, engine)
        found.env(**{key: str(port) for key, port in ports.items()}, RANGE=f"{first + 3}-{first + 5}")
        found.env(MONOREPO=path.name)
        return found

    def take_newest_compose(self, *files: str) -> None:
        """Have docker run the Compose of the package, which is newer than Debian's, on these files."""
        plugin = self.path / ".docker" / "cli-plugins" / "docker-compose"
        plugin.parent.mkdir(parents=True)
        plugin.symlink_to(ROOT / ".venv" / "bin" / "docker-compose")
        self.env(COMPOSE_FILE=":".join(files))

    @property
    def environment(self) -> dict[str, str]:
        """What the shell has beyond the usual."""
        configuration = self.path / ".docker"
        return {"DOCKER_CONFIG": str(configuration)} if configuration.exists() else {}

    def start(self, *words: str, stdin: str | None = None, **env: str) -> subprocess.Popen[str]:
        """Start ./inv as `Checkout` does."""
        return super().start(*words, stdin=stdin, **self.environment, **env)

    @property
    def name(self) -> str:
        """The name of its Compose project, as Compose would choose it."""
        return self.path.name

    def containers(self, service: str) -> list[dict[str, Any]]:
        """Return what Docker knows of a service's containers."""
        labels = (f"project={self.name}", f"service={service}")
        filters = [word for each in labels for word in ("--filter", f"label=com.docker.compose.{each}")]
        found = docker("ps", "--all", "--quiet", *filters).split()
        return list(json.loads(docker("container", "inspect", *found))) if found else []

    def kill_containers(self, service: str) -> None:
        """Kill a service from outside, in a way after which no restart policy starts it again."""
        docker("kill", "--signal", str(int(signal.SIGKILL)), *(each["Id"] for each in self.containers(service)))

    def compose(self, *args: str) -> str:
        """Run Compose itself in the project, and return what it prints."""
        done = subprocess.run(
            ["docker", "compose", *args],
            cwd=self.path,
            env=clean_environment(**self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def project(stack: str, engine: str) -> Iterator[Foreign]:
    """Give a stack of this folder; what the test started there must be gone after it."""
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    found = Foreign.of(stack, place, engine)
    leaks = Leaks(found)
    try:
        yield found
    finally:
        if found.state.exists():
            if engine == "embedded" or found.compose("ps", "--all", "--quiet"):  # a tour ends with it
                found.inv("down", "--volumes", "--yes", check=False)
            leaks.check()
            found.remove_images()
        shutil.rmtree(place, ignore_errors=True)
