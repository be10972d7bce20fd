"""Who is measured: the service, and its peers as a good engineer of their framework would write them."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.service_servers import clean_environment, wait_until
from stackhand.system.roots import CONTENT as ROOT

PEERS = ROOT / "bench" / "peers"
FOLDER = ROOT / ".stackhand" / "bench"
OURS = "stackhand service"
STOP_WITHIN = 20.0


class NotRunError(Exception):
    """Why a candidate cannot be measured on this machine."""


@dataclass
class Candidate:
    """A program that is measured, and its process while there is one.

    Args:
        name: as the tables have it.
        folder: where it runs.
        argv: its command line.
        port: where it listens at 127.0.0.1.
        variables: what it reads of its environment.
    """

    name: str
    folder: Path
    argv: Sequence[str]
    port: int
    variables: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self, path: str = "/health") -> float:
        """Start it and return the seconds until a path answered 200."""
        with self.log().open("ab") as log:
            self.process = subprocess.Popen(
                self.argv, cwd=self.folder, env=dict(self.variables), stdout=log, stderr=log, start_new_session=True
            )
        try:
            return wait_until(lambda: self._lives() and self.get(path)[0] == 200, f"{self.name} starts", pause=0.002)
        except (TimeoutError, NotRunError) as error:
            self.stop()
            raise NotRunError(f"it did not start: {error}; see {self.log()}") from error

    def stop(self) -> None:
        """End it and all of its children."""
        if not self.process:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.process = None

    def get(self, path: str, timeout: float = 5.0) -> tuple[int, str]:
        """Return the code and the status of an answer; code 0 is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, str(json.loads(answer.read()).get("status", ""))
        except (OSError, http.client.HTTPException, ValueError, AttributeError):
            return 0, ""
        finally:
            connection.close()

    def passes(self) -> bool:
        """Whether it says of its dependencies that they work."""
        return self.get("/health/all") == (200, "pass")

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def tree(self) -> list[psutil.Process]:
        """Return its processes."""
        assert self.process is not None, f"{self.name} does not run"
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu(self) -> float:
        """Return the processor seconds it has used."""
        return sum(sum(each.cpu_times()[:2]) for each in self.tree())

    def log(self) -> Path:
        """Return the file that has what it said."""
        return FOLDER / f"{self.name.split()[0].strip(',').lower()}.log"

    def _lives(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise NotRunError("its process ended")
        return True


def candidates(
    ports: Sequence[int], dependencies: Mapping[str, str], service: Path
) -> tuple[list[Candidate], dict[str, str]]:
    """Return who can be measured, ours first, and by name why the others cannot.

    Args:
        ports: one for each.
        dependencies: the variables that say where PostgreSQL and Redis are.
        service: the folder that holds the package `service`.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    for log in FOLDER.glob("*.log"):
        log.unlink()
    mine = [sys.executable, "-m", "service", "serve"]
    found = [Candidate(OURS, service, mine, ports[0], _variables(ports[0], dependencies))]
    missing: dict[str, str] = {}
    for (name, (folder, prepare)), port in zip(RIVALS.items(), ports[1:], strict=True):
        try:
            place, argv = prepare(folder, port)
        except NotRunError as error:
            missing[name] = str(error)
            continue
        found.append(Candidate(name, place, argv, port, _variables(port, dependencies)))
    return found, missing


def _variables(port: int, dependencies: Mapping[str, str]) -> dict[str, str]:
    return {**clean_environment(), **dependencies, "HOST": "127.0.0.1", "PORT": str(port), "NODE_ENV": "production"}


def _fastapi(folder: str, port: int) -> tuple[Path, list[str]]:
    place = _installed(folder, _pip)
    words = ["app:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    return place, [str(place / "venv" / "bin" / "uvicorn"), *words]


def _flask(folder: str, port: int) -> tuple[Path, list[str]]:
    place = _installed(folder, _pip)
    words = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "8"]
    return place, [str(place / "venv" / "bin" / "gunicorn"), *words, "--no-control-socket", "app:app"]


def _express(folder: str, _port: int) -> tuple[Path, list[str]]:
    node = shutil.which("node")
    if not node:
        raise NotRunError("no node")
    return _installed(folder, _npm), [node, "app.js"]


RIVALS: dict[str, tuple[str, Callable[[str, int], tuple[Path, list[str]]]]] = {
    "FastAPI, uvicorn, asyncpg": ("fastapi", _fastapi),
    "Flask, gunicorn, psycopg 3": ("flask", _flask),
    "Express 5, pg": ("express", _express),
}
"""The peers: their folder, and what makes them runnable there."""


def _installed(folder: str, install: Callable[[Path], None]) -> Path:
    """Return a copy of a peer with its packages, created again when a file of the peer has changed."""
    place, source = FOLDER / "peers" / folder, PEERS / folder
    files = sorted(path for path in source.iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    seal = place / "installed"
    if seal.exists() and seal.read_text() == digest:
        return place
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path in files:
        shutil.copy(path, place)
    install(place)
    seal.write_text(digest)
    return place


def _pip(place: Path) -> None:
    python = place / "venv" / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    _run(place, [*uv, "venv", "--quiet", "--python", sys.executable, str(place / "venv")])
    words = ["pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    _run(place, [*uv, *words, "--requirement", "requirements.txt"])


def _npm(place: Path) -> None:
    if not shutil.which("npm"):
        raise NotRunError("no npm")
    _run(place, ["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"])


def _run(place: Path, words: Sequence[str]) -> None:
    said = subprocess.run(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if said.returncode != 0:
        lines = said.stdout.strip().splitlines() or ["it said nothing"]
        raise NotRunError(f"{Path(words[0]).name} {' '.join(words[1:4])} failed: {lines[-1]}")
