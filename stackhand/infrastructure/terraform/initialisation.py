"""Whether `terraform init` would do again what it has done (docs/decisions/082-init-once.md), and whether it can."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.terraform import configuration
from stackhand.infrastructure.terraform.process import WAYS_OUT
from stackhand.project import ownership

if TYPE_CHECKING:
    from stackhand.infrastructure.terraform.terraform import Terraform

FILE = "initialised"
"""What a folder was initialised from, in it: a digest."""
MODULES = "modules/modules.json"
"""What init notes of modules, in TF_DATA_DIR: their own files may ask for other providers, and are not looked at."""
VARIABLES = ("TF_CLI_CONFIG_FILE", "TF_PLUGIN_CACHE_DIR", "TF_REATTACH_PROVIDERS", "TF_WORKSPACE", "TF_CLI_ARGS")
"""How names begin of variables that change what init does."""
PROVIDERS = "versions.tf"
"""What says which providers are wanted."""
FOUND = "installing_provider_message"
"""What Terraform calls the moment at which it knows where a provider is."""


class Initialised:
    """What one folder of Terraform's data was initialised from.

    Args:
        data: TF_DATA_DIR.
        configuration: the folder in which Terraform runs.
        command: that runs it.
        backend: the arguments of the backend.
        environment: the variables that it gets.
    """

    def __init__(
        self,
        data: Path,
        configuration: Path,
        command: Sequence[str],
        backend: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.data, self.configuration, self.command = data, configuration, command
        self.backend, self.environment = backend, environment

    def current(self) -> bool:
        """Whether nothing has changed of what init reads, nor of what it has left."""
        try:
            return (self.data / FILE).read_text(encoding="utf-8") == self._digest()
        except OSError:
            return False

    def note(self) -> None:
        """Note down what the folder is initialised from, now that it is; with modules, it is initialised each time."""
        if not (self.data / MODULES).exists():
            ownership.write(self.data / FILE, self._digest())

    def forget(self) -> None:
        """Have the next command initialise the folder: one has failed, and that may be why."""
        (self.data / FILE).unlink(missing_ok=True)

    def _digest(self) -> str:
        program = shutil.which(self.command[0], path=self.environment.get("PATH"))
        variables = {name: each for name, each in self.environment.items() if name.startswith(VARIABLES)}
        given = json.dumps([list(self.command), program and _stamp(Path(program)), list(self.backend), variables])
        digest = hashlib.sha256(given.encode())
        for path in sorted(self.configuration.iterdir()):
            if path.is_file() and path.suffix in {".tf", ".json", ".hcl"}:
                digest.update(f"\0{path.name}\0".encode() + path.read_bytes())
        for path in sorted(_left(self.data)):
            digest.update(f"\0{path}\0{_stamp(path)}".encode())
        return digest.hexdigest()


def _left(data: Path) -> Iterator[Path]:
    """Yield the files that init leaves: the providers, and what it remembers of the backend."""
    yield from (path for path in (data / "providers").rglob("*") if path.is_file())
    if (data / "terraform.tfstate").is_file():
        yield data / "terraform.tfstate"


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
        for file in (PROVIDERS, configuration.LOCK):
            with suppress(FileNotFoundError):
                shutil.copyfile(terraform.configuration / file, folder / file)
        terraform.version()
        code, output = terraform.try_init(folder, stop_at="" if os.environ.get("TF_PLUGIN_CACHE_DIR") else FOUND)
    if code:
        raise Failure(
            "Terraform cannot get its providers.",
            evidence=[line for line in map(_error, output) if line] or [f"terraform init exited with {code}"],
            next=WAYS_OUT,
            code=ExitCode.PREFLIGHT,
        )


def _error(line: str) -> str:
    """Return an error of Terraform in one line, without its advice; nothing of a line that has none."""
    with suppress(ValueError, KeyError, IndexError, TypeError):
        diagnostic = json.loads(line)["diagnostic"]
        detail = " ".join(str(diagnostic.get("detail", "")).split())
        return f"{diagnostic['summary']}: {detail.partition(' To see which modules')[0]}"
    return ""
