"""The README is the path, and this walks it."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from tests.checkout import ROOT, Checkout, clean_environment
from tests.engines import missing, use

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line[2:]
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("$ ")
]
TEST = "./inv test"


def test_readme_starts_with_up_and_test() -> None:
    assert [command for command in COMMANDS if command.startswith("./inv")][:2] == ["./inv up", TEST]


def test_ci_runs_test_command_of_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(rf'^exec {re.escape(TEST)} "\$@"$', script, re.MULTILINE)


@pytest.mark.slow
def test_readme_commands_work_in_order(checkout: Checkout) -> None:
    with use("embedded" if missing() else "compose"):  # which of them `up` takes by itself
        for command in COMMANDS:
            if command == TEST:  # we are in it
                continue
            said = subprocess.run(
                command.replace(":4000", f":{checkout.ports['API_PORT']}"),
                shell=True,
                cwd=checkout.path,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            assert said.returncode == 0, f"{command}\n{said.stdout}\n{said.stderr}"


@pytest.mark.slow
def test_readme_capture_matches_output_of_up_and_its_example_service_starts(checkout: Checkout) -> None:
    def shape(text: str) -> list[str]:
        """The steps of an up, without what differs from run to run; postgres and redis start at the same time."""
        steps = re.findall(r"^  ([✓=·]) (\w+)", text, re.MULTILINE)
        lines = [f"{mark} {name}" for mark, name in steps if name not in {"settings", "postgres"} or mark != "·"]
        first = lines.index("= engine") + 1
        return [*lines[:first], *sorted(lines[first : first + 2]), *lines[first + 2 :]]

    capture = re.search(r"\$ ./inv up\n(.*?)```", README, re.DOTALL)
    assert capture is not None
    assert shape(checkout.inv("up").out) == shape(capture[1])

    block = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert len(block[1].splitlines()) <= 10
    assert list(yaml.safe_load(block[1])) == ["docs"]
    text = block[1].replace("8000}", f"{checkout.spare}}}")
    checkout.edit("docker-compose.yml", "\nvolumes:\n", f"\n{text}\nvolumes:\n")
    checkout.inv("up")
    assert checkout.services()["docs"]["state"] == "healthy"
    checkout.ports["DOCS_PORT"] = checkout.spare
    assert checkout.ask("/architecture.md", "DOCS_PORT")[0] == 200
    assert checkout.ask("/.env", "DOCS_PORT")[0] == 404
