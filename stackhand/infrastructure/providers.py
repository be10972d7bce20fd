"""Whether Terraform can get its providers: asked for before anything that would be in vain without them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.diagnostics import WAYS_OUT
from stackhand.infrastructure.process import FOLDER
from stackhand.infrastructure.program import Terraform
from stackhand.project.environments import Environment

FILES = ("versions.tf", ".terraform.lock.hcl")
"""What says which providers are wanted."""
FOUND = "installing_provider_message"
"""What Terraform calls the moment at which it knows where a provider is."""


def require(environment: Environment) -> None:
    """Have Terraform look for its providers, in a folder of their own, and stop once it has found them.

    Raises:
        Failure: there is no Terraform, or it cannot get them; the ways out are named.
    """
    with tempfile.TemporaryDirectory(prefix="stackhand-") as name:
        folder = Path(name)
        for file in FILES:
            with suppress(FileNotFoundError):
                shutil.copy2(FOLDER / file, folder / file)
        terraform = Terraform(environment)
        terraform.version()
        code, output = terraform.try_init(folder, stop_at="" if os.environ.get("TF_PLUGIN_CACHE_DIR") else FOUND)
    if code:
        raise Failure(
            "Terraform cannot get its providers here.",
            evidence=[line for line in map(_error, output) if line] or [f"terraform init ended with {code}"],
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
