"""A copy of the checkout that a test may break."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from stackhand.local.engines.embedded.servers import postgres
from stackhand.project import settings
from stackhand.project.compose import envfile
from stackhand.project.state import State
from stackhand.system import ports

ROOT = Path(__file__).resolve().parent.parent
PORTS = ("WEB_PORT", "API_PORT", "POSTGRES_PORT", "REDIS_PORT")
FOLDERS = (
    "docs",
    "environments",
    "inventory",
    "playbooks",
    "plugins",
    "roles",
    "seeds",
    "service",
    "stackhand",
    "terraform",
    "web",
)
FILES = (
    ".dockerignore",
    ".env.example",
    "LICENSE",
    "README.md",
    "ansible.cfg",
    "docker-compose.yml",
    "inv",
    "pyproject.toml",
    "requirements-cloud.lock",
    "requirements-ministack.lock",
    "requirements.lock",
    "hatch_build.py",
    "images.lock",
    "tasks.py",
)
TIMEOUT = 60.0
BLOCK = 10


def docker(*words: str) -> str:
    """Run a docker command and return what it says on stdout."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=60).stdout


@dataclass(frozen=True)
class Said:
    """What a command said, and with which exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Checkout:
    """A copy of the checkout with its own state, ports and name, that shares our .venv."""

    def __init__(self, path: Path, ports: dict[str, int], engine: str = "embedded") -> None:
        self.path = path
        self.ports = ports
        self.engine = engine
        self.state = path / ".stackhand"

    @classmethod
    def make(cls, path: Path, *, engine: str = "embedded", env: bool = True) -> Checkout:
        """Copy the checkout for an engine; with `env`, write a .env that has free ports and little else."""
        path.mkdir(parents=True)
        for name in FOLDERS:
            # with what is compiled: that costs a second
            shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns(".terraform"))
        for name in FILES:
            shutil.copy2(ROOT / name, path / name)
        (path / ".venv").symlink_to(ROOT / ".venv")
        found = cls(path, free_ports(), engine)
        if env:
            found.env(**found.own_settings)
        return found

    @property
    def own_settings(self) -> dict[str, str]:
        """What .env has before the first `up`: free ports, and probes that look often, so that tests wait less."""
        return {**{key: str(port) for key, port in self.ports.items()}, "PROBE_INTERVAL": "1"}

    def env(self, **values: str) -> None:
        """Set values in .env, as an editor would."""
        path = self.path / ".env"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if line.partition("=")[0] not in values]
        path.write_text(
            "\n".join([*kept, *(f"{key}={value}" for key, value in values.items())]) + "\n", encoding="utf-8"
        )
        path.chmod(0o600)

    @property
    def spare(self) -> int:
        """A port of this checkout's block that none of its services has."""
        return self.ports["WEB_PORT"] + len(PORTS)

    def setting(self, key: str) -> str:
        """Return a value of .env."""
        return envfile.read((self.path / ".env").read_text(encoding="utf-8"))[0][key]

    def inv(
        self, *words: str, check: bool = True, stdin: str | None = None, timeout: float = 120.0, **env: str
    ) -> Said:
        """Run ./inv as a person without a terminal would; fail the test when it fails, unless told otherwise."""
        child = self.start(*words, stdin=stdin, **env)
        try:
            out, err = child.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            raise AssertionError(f"./inv {' '.join(words)} did not end within {timeout:g} s\n{out}\n{err}") from None
        if check and child.returncode != 0:
            raise AssertionError(f"./inv {' '.join(words)} ended with {child.returncode}\n{out}\n{err}")
        return Said(child.returncode, out, err)

    def superuser(self, sql: str) -> str:
        """Run SQL as the superuser of the database server, whom no verb connects as: the rows, with | in between."""
        if self.engine == "compose":
            asked = ["docker", "exec", "--interactive", f"{self.name}-postgres"]
            login = ["-h", "/var/run/postgresql"]
        else:
            asked, login = [], ["-h", str(State(self.path).run / "postgres"), "-p", self.setting("POSTGRES_PORT")]
        login += ["-U", "postgres"]
        program = "psql" if asked else str(postgres.binary().with_name("psql"))
        name = self.setting("POSTGRES_DB")
        words = [*asked, program, "-XqAt", "-v", "ON_ERROR_STOP=1", *login, "-d", name, "-f", "-"]
        said = subprocess.run(words, input=sql, capture_output=True, text=True, check=False, timeout=60)
        assert said.returncode == 0, said.stderr
        return said.stdout

    def start(self, *words: str, stdin: str | None = None, **env: str) -> subprocess.Popen[str]:
        """Start ./inv and return at once; `up` without an engine takes that of this checkout."""
        if words[:1] == ("up",) and "--engine" not in words:
            words = (*words, "--engine", self.engine)
        return subprocess.Popen(
            ["./inv", *words],
            cwd=self.path,
            env=clean_environment(**env),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @contextmanager
    def running(self, *words: str) -> Iterator[IO[str]]:
        """Start ./inv, give what it writes on stdout, and end it after the test's block."""
        child = self.start(*words)
        assert child.stdout is not None
        try:
            yield child.stdout
        finally:
            child.terminate()
            child.communicate()

    @property
    def name(self) -> str:
        """The name of its stack."""
        return settings.stack_name(self.path)

    def container(self, service: str) -> dict[str, Any]:
        """Return what Docker knows of a service's container."""
        found = json.loads(docker("container", "inspect", f"{self.name}-{service}"))
        return dict(found[0])

    def has_started(self, service: str) -> bool:
        """Whether something of a service was started."""
        if self.engine == "compose":
            return bool(docker("ps", "--quiet", "--filter", f"name=^{self.name}-{service}$").strip())
        return (self.state / "run" / f"{service}.json").exists()

    def remove_images(self) -> None:
        """Remove what was built; the layers stay in the builder's cache."""
        if self.engine == "compose":
            found = docker("image", "ls", "--quiet", "--filter", f"reference={self.name}-*").split()
            if found:
                docker("image", "rm", "--force", *sorted(set(found)))

    def pid(self, service: str) -> int:
        """Return the process of a service, by the machine's own number."""
        if self.engine == "compose":
            number = self.container(service)["State"]["Pid"]
            assert number > 1, f"{service} does not run"  # 0 would be our own process group
            first = psutil.Process(number)
            return int(first.children()[0].pid if first.name() == "docker-init" else first.pid)
        return int(json.loads((self.state / "run" / f"{service}.json").read_text(encoding="utf-8"))["pid"])

    def kill(self, service: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to the process of a service, and return its number."""
        pid = self.pid(service)
        os.kill(pid, number)
        return pid

    def services(self) -> dict[str, dict[str, Any]]:
        """Return the services of `status --json` by name; a container engine that has much to do is asked again."""
        for _ in range(5):
            found = self.inv("status", "--json", check=False).json
            if "did not answer within" not in found.get("error", {}).get("what", ""):
                break
        assert "services" in found, found
        return {service["name"]: service for service in found["services"]}

    def ask(self, path: str, port: str = "API_PORT") -> tuple[int, dict[str, Any], dict[str, str]]:
        """Return status, body and headers (in small letters) of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[port], timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, json.loads(body) if "json" in headers.get("content-type", "") else {}, headers

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file that has it."""
        path = self.path / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment of a person's shell, without what our own run has set."""
    ours = ("STACKHAND_", "PYTEST_", "ANSIBLE_", "COLUMNS", "LINES", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {**kept, "LANG": "C.UTF-8", **more}


def _our_blocks() -> list[int]:
    """Return the blocks of this worker, below the ports that the kernel hands out; another run begins elsewhere."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    share = 12_000 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) // BLOCK
    found = [20_000 + BLOCK * (number * share + place) for place in range(share)]
    first = os.getpid() % share
    return found[first:] + found[:first]


_blocks = itertools.cycle(_our_blocks())


def free_ports() -> dict[str, int]:
    """Return a block of free ports that no other test has."""
    for base in itertools.islice(_blocks, 1000):
        if all(ports.is_free(base + offset) for offset in range(BLOCK)):
            return {key: base + offset for offset, key in enumerate(PORTS)}
    raise AssertionError("no block of ports is free")


def eventually(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT) -> Any:
    """Return the first true value of `condition`; fail the test when there is none in time.

    A condition that runs a program for it may take as long as it does, and no more: what is waited for needs the cores.
    """
    deadline = time.monotonic() + timeout
    while (began := time.monotonic()) < deadline:
        found = condition()
        if found:
            return found
        time.sleep(min(max(0.05, time.monotonic() - began), 1.0))
    raise AssertionError(f"not within {timeout:g} s: {what}")
