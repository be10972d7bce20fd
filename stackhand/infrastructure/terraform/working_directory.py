"""The folder that Terraform runs in: its configuration, and whether `terraform init` would do again what it has done.

The files of the content, and those of the project beside them, are linked in it: Terraform writes into the folder that
it runs in, and the content may be read-only and belong to several projects. When it is initialised again:
docs/decisions/082-init-once.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import documents
from stackhand.infrastructure.terraform.process import WAYS_OUT
from stackhand.project import ownership
from stackhand.system.roots import CONTENT, EJECTED, PROJECT

if TYPE_CHECKING:
    from stackhand.infrastructure.terraform.terraform import Terraform

NAME = "terraform"
"""The folder of these files, in the content and in the project."""
LOCK = ".terraform.lock.hcl"
"""The checksums of the providers; Terraform adds those that it lacks."""
PLACED = f"{LOCK}.placed"
OF_NO_RUN = re.compile(r"\..*|tests|__pycache__|.*\.tfvars(\.json)?|.*\.tfstate(\..*)?")
"""Entries that are not linked: hidden ones, tests, values that Terraform would read by itself, and states."""
OWN_STATE = re.compile(r'^\s*(backend\s+"|cloud\s*\{)', re.MULTILINE)
"""What a configuration has that keeps a state of its own, and so is none to be placed beside ours."""
DIGEST = "initialised"
"""What a folder was initialised from, in it: a digest."""
MODULES = "modules/modules.json"
"""What init notes of modules, in TF_DATA_DIR: their own files may ask for other providers, and are not looked at."""
VARIABLES = ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "TF_REATTACH_PROVIDERS", "TF_WORKSPACE", "TF_CLI_ARGS")
"""How names begin of variables that change what init does."""
PROVIDERS = "versions.tf"
"""What says which providers are wanted."""
FOUND = "installing_provider_message"
"""What Terraform calls the moment at which it knows where a provider is."""


def place(folder: Path, content: Path = CONTENT, project: Path = PROJECT) -> None:
    """Have the configuration in a folder: only what differs is changed, for another command may use it meanwhile.

    Raises:
        Failure: a file of the project has the name of one of the content.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = files(content, project)
    for path in [each for each in folder.iterdir() if each.is_symlink() and each.name not in wanted]:
        path.unlink(missing_ok=True)
    for name, target in wanted.items():
        link = folder / name
        if not (link.is_symlink() and link.readlink() == target):
            scratch = folder / f".{name}.{os.getpid()}"
            scratch.symlink_to(target)
            scratch.replace(link)
    _place_lock(folder, _committed(content, project))


def files(content: Path = CONTENT, project: Path = PROJECT) -> Mapping[str, Path]:
    """Return the files and folders of the configuration, by their names in it.

    Raises:
        Failure: two have one name.
    """
    ejected = project / EJECTED.name / NAME
    ours, theirs = _entries(ejected if content != project and ejected.is_dir() else content / NAME), {}
    if content != project and _is_part(project / NAME):
        theirs = _entries(project / NAME)
    if common := [f"{NAME}/{name}" for name in sorted(ours.keys() & theirs.keys())]:
        file = common[0]
        raise Failure(
            f"{file} has the name of a file of Stackhand's, and Terraform reads both in one folder.",
            evidence=[f"{each} too" for each in common[1:]],
            next=f"rename {file}, then repeat the command",
            code=ExitCode.PREFLIGHT,
        )
    return ours | theirs


def unrecorded(folder: Path) -> bool:
    """Whether Terraform has taken providers whose checksums are neither in the project nor in the content."""
    lock = folder / LOCK
    return lock.is_file() and lock.read_bytes() != _committed(CONTENT, PROJECT)


def shown(folder: Path, name: str) -> str:
    """Return what messages call a file that Terraform has named: by its place in the project, or in the content."""
    path = (folder / name).resolve()
    if not path.exists():  # such as <value for var.nat>
        return name
    if CONTENT != PROJECT and path.is_relative_to(CONTENT):
        return f"Stackhand's {path.relative_to(CONTENT)}"
    return str(path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path)


def _entries(folder: Path) -> dict[str, Path]:
    return {each.name: each for each in sorted(folder.iterdir()) if not OF_NO_RUN.fullmatch(each.name)}


def _is_part(folder: Path) -> bool:
    """Whether the project has files for our configuration, and not a configuration with a state of its own there."""
    sources = [path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("*.tf")]
    own_state = (folder / "terraform.tfstate").exists() or any(OWN_STATE.search(text) for text in sources)
    return bool(sources or [*folder.glob("*.tf.json")]) and not own_state


def _committed(content: Path, project: Path) -> bytes:
    """Return the checksums that the project has committed, or else those of the content; empty without both."""
    locks = (root / NAME / LOCK for root in (project, content))
    return next((path.read_bytes() for path in locks if path.is_file()), b"")


def _place_lock(folder: Path, wanted: bytes) -> None:
    """Give the folder the checksums, and keep what Terraform has added to them since."""
    placed = folder / PLACED
    if wanted == (placed.read_bytes() if placed.is_file() else b""):
        return
    for path in (folder / LOCK, placed):
        ownership.write(path, wanted)
        if not wanted:
            path.unlink()


@dataclass(frozen=True)
class Initialised:
    """What one folder of Terraform's data was initialised from.

    Args:
        data: TF_DATA_DIR.
        configuration: the folder in which Terraform runs.
        command: that runs it.
        backend: the arguments of the backend.
        environment: the variables that it gets.
    """

    data: Path
    configuration: Path
    command: Sequence[str]
    backend: Sequence[str]
    environment: Mapping[str, str]

    def current(self) -> bool:
        """Whether nothing has changed of what init reads, nor of what it has left."""
        try:
            return (self.data / DIGEST).read_text(encoding="utf-8") == self._digest()
        except OSError:
            return False

    def note(self) -> None:
        """Note down what the folder is initialised from, now that it is; with modules, it is initialised each time."""
        if not (self.data / MODULES).exists():
            ownership.write(self.data / DIGEST, self._digest())

    def forget(self) -> None:
        """Have the next command initialise the folder: one has failed, and that may be why."""
        (self.data / DIGEST).unlink(missing_ok=True)

    def _digest(self) -> str:
        program = shutil.which(self.command[0], path=self.environment.get("PATH"))
        variables = {name: each for name, each in self.environment.items() if name.startswith(VARIABLES)}
        given = json.dumps([list(self.command), program and _stamp(Path(program)), list(self.backend), variables])
        digest = hashlib.sha256(given.encode())
        for path in sorted(self.configuration.iterdir()):
            if path.is_file() and path.suffix in {".tf", ".json", ".hcl"}:
                digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
        # What init leaves: the providers, and what it remembers of the backend.
        left = [*(self.data / "providers").rglob("*"), self.data / "terraform.tfstate"]
        for path in sorted(each for each in left if each.is_file()):
            digest.update(f"\0{path}\0{_stamp(path)}".encode())
        return digest.hexdigest()


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{path.resolve()}:{status.st_size}:{status.st_mtime_ns}"


def require_providers(terraform: Terraform) -> None:
    """Have Terraform look for its providers, in a folder of their own, and stop once it has found them.

    Raises:
        Failure: there is no Terraform, or it cannot get them; the ways out are named.
    """
    with tempfile.TemporaryDirectory(prefix="stackhand-") as name:
        folder = Path(name)
        for file in (PROVIDERS, LOCK):
            with suppress(FileNotFoundError):
                shutil.copyfile(terraform.configuration / file, folder / file)
        terraform.version()
        code, output = terraform.try_init(folder, stop_at="" if os.environ.get("TF_PLUGIN_CACHE_DIR") else FOUND)
    if code:
        raise Failure(
            "Terraform cannot get its providers.",
            evidence=[*filter(None, map(_error, output))] or [f"terraform init exited with {code}"],
            next=WAYS_OUT,
            code=ExitCode.PREFLIGHT,
        )


def _error(line: str) -> str:
    """Return an error of Terraform in one line, without its advice; nothing of a line that has none."""
    if not (found := documents.event(line).diagnostic):
        return ""
    detail = " ".join(found.detail.split())
    return f"{found.summary}: {detail.partition(' To see which modules')[0]}"
