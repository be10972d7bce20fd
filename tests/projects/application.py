"""An application of this folder in a git repository of its own, and the installed package that acts on it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stackhand.system import roots
from tests import installed
from tests.checkout import Said, clean_environment, docker, free_ports
from tests.installed import Project

APPLICATIONS = Path(__file__).parent
ME = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
WITHIN = 300.0
"""The seconds of one verb: the first one of ./inv installs it."""
PORTS = ("PORT", "WEB_PORT", "FLASK_PORT", "SHORT_PORT")
"""The variables of the port that an application publishes."""


@dataclass(frozen=True)
class Application(Project):
    """An application.

    Args:
        folder: where its Compose file lies.
        port: that it publishes.
        pinned: whether its own ./inv runs the verbs, with an environment from its lock.
    """

    folder: str
    port: int
    pinned: bool = False

    @property
    def root(self) -> Path:
        """The folder of its Compose file, which is what Stackhand calls the project."""
        return self.path / self.folder

    @property
    def variables(self) -> dict[str, str]:
        """What the shell has beyond the usual: a free port, and a name that no other run has."""
        return {**{name: str(self.port) for name in PORTS}, "COMPOSE_PROJECT_NAME": self.path.name}

    def stackhand(
        self, *words: str, check: bool = True, stdin: str | None = None, shell: Mapping[str, str] | None = None
    ) -> Said:
        """Run a verb with the version that is installed; ./inv would install the same once more for each project."""
        variables = {
            **self.variables,
            roots.VARIABLE: str(self.root),
            "AWS_EC2_METADATA_DISABLED": "true",
            **(shell or {}),
        }
        program = str(self.root / "inv") if self.pinned else "stackhand"
        return self.run(program, *words, folder=self.folder, check=check, stdin=stdin, timeout=WITHIN, **variables)

    def their(self, *words: str) -> str:
        """Run one of the project's own commands, which know nothing of Stackhand, and return what it prints."""
        done = subprocess.run(
            words,
            cwd=self.root,
            env=clean_environment(**self.variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ask(self, path: str, document: object = None, **form: str) -> str:
        """Return the body of a GET or, with a document or a form, of a POST."""
        data = urllib.parse.urlencode(form).encode() if form else None
        headers = {}
        if document is not None:
            data, headers = json.dumps(document).encode(), {"content-type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(response.read().decode())

    def changes(self) -> list[str]:
        """Return what git shows as changed, sorted."""
        return sorted(line[3:] for line in self.git("status", "--porcelain", "--untracked-files=all").splitlines())

    def contents(self) -> dict[str, str]:
        """Return the text of each file that git does not ignore."""
        names = self.git("ls-files", "--cached", "--others", "--exclude-standard").split()
        return {name: (self.path / name).read_text(encoding="utf-8") for name in names}


@contextmanager
def application(name: str, folder: str = ".") -> Iterator[Application]:
    """Give an application, committed; what runs of it afterwards is removed with it."""
    place = Path(tempfile.mkdtemp(prefix="sh-")).resolve()
    place.chmod(0o755)
    path = place / f"{name}-{place.name[-4:].lower().replace('_', 'x')}"
    tracked = subprocess.run(
        ["git", "ls-files", "-z", name], cwd=APPLICATIONS, capture_output=True, text=True, check=True
    ).stdout
    for each in filter(None, tracked.split("\0")):  # as a clone would have them
        target = path / Path(each).relative_to(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(APPLICATIONS / each, target)
    found = Application(path, installed.environment(), folder, free_ports()["WEB_PORT"])
    found.git("init", "--quiet")
    found.git("add", "--all")
    found.git(*ME, "commit", "--quiet", "--message", "A project")
    try:
        yield found
    finally:
        if (found.root / ".stackhand").exists():
            found.stackhand("down", "--volumes", "--yes", check=False)
        labelled = docker("images", "--quiet", "--filter", f"label=com.docker.compose.project={path.name}").split()
        if labelled:
            docker("image", "rm", "--force", *set(labelled))
        shutil.rmtree(place, ignore_errors=True)
