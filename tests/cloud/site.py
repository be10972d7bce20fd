"""A checkout whose verbs reach the cloud of the tests, with Terraform and the registry left out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec

from stackhand.infrastructure.plan import Summary
from tests.checkout import Checkout
from tests.cloud.fake_rollout import ACCOUNT, REGION

TIMING = "poll=0.1,timeout=60,probes=2,probe_timeout=2"


class Site:
    """A copy of the checkout, under git.

    Args:
        checkout: the copy.
        settings: of the process environment that leads to the cloud.
        output: Terraform's.
    """

    def __init__(self, checkout: Checkout, settings: dict[str, str], output: dict[str, Any]) -> None:
        self.checkout = checkout
        self.settings = {**settings, "STACKHAND_TIMING": TIMING}
        folder = checkout.path / "environments"
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"stack": settings["STACK"], "region": REGION, "account_id": ACCOUNT}
        text = "".join(f'{key} = "{value}"\n' for key, value in facts.items())
        (folder / "staging.tfvars").write_text(text, encoding="utf-8")
        self._step("infrastructure_check")
        self._step("infrastructure_plan", plan=msgspec.to_builtins(Summary([], []).document()), outputs={}, restore={})
        self._step("infrastructure_apply", target=output)
        (checkout.path / ".gitignore").write_text(".stackhand/\n.venv\n.env\n__pycache__/\n", encoding="utf-8")
        self.git("init", "--quiet")

    def commit(self, words: str) -> str:
        """Commit a change, and return its name."""
        (self.checkout.path / "CHANGE").write_text(words, encoding="utf-8")
        self.git("add", "--all")
        self.git("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "--message", words)
        return self.git("rev-parse", "HEAD").strip()

    def images(self, digests: dict[str, str]) -> None:
        """Say what the registry has; committed with the next commit, as all that a release is made of."""
        self._step("release_images", digests=digests)

    def git(self, *words: str) -> str:
        """Run git there."""
        return subprocess.run(
            ["git", *words], cwd=self.checkout.path, capture_output=True, text=True, check=True, timeout=30
        ).stdout

    def _step(self, name: str, **facts: Any) -> None:
        """Let a step set facts, in the place of its work."""
        path: Path = self.checkout.path / "plugins" / "action" / f"{name}.py"
        kept = path.read_text(encoding="utf-8").partition("\nActionModule.act")[0]
        known = json.loads(json.dumps(facts, sort_keys=True))  # as Terraform has it
        result = f"Result(changed=False, facts={known!r})"
        path.write_text(f"{kept}\nActionModule.act = lambda *_, **__: {result}\n", encoding="utf-8")
