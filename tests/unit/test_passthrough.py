"""Which variables of the shell a project's files name, however they name them: as the real Compose has it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stackhand.project import inherited, passthrough
from stackhand.project.stack import loading

IMAGE = "services: {api: {image: x, %s}}\n"
BUILD = "services: {api: {build: {context: ., args: %s}}}\n"
COMPOSE = {
    "interpolated": "services: {api: {image: 'x:${N-}'}}",
    "a list in block style": "services:\n  api:\n    image: x\n    environment:\n      - N\n      - FIXED=1\n",
    "a list in flow style": IMAGE % "environment: [N, FIXED=1]",
    "a quoted item": IMAGE % """environment: ["N", 'FIXED=1']""",
    "a key without a value": IMAGE % "environment: {N: , FIXED: 1}",
    "null": IMAGE % "environment: {N: null}",
    "a tilde": IMAGE % "environment: {N: ~}",
    "a quoted key": 'services:\n  api:\n    image: x\n    environment:\n      "N":\n',
    "an anchor": "x-a: &a [N]\n" + IMAGE % "environment: *a",
    "a merge key": "x-a: &a {N: ~}\n" + IMAGE % "environment: {<<: *a, FIXED: 1}",
    "a list of merge keys": "x-a: &a {N: ~}\nx-b: &b {FIXED: 1}\n" + IMAGE % "environment: {<<: [*b, *a]}",
    "arguments of a build": BUILD % "[N]",
    "arguments of a build, mapped": BUILD % "{N: }",
    "a secret": IMAGE % "secrets: [s]" + "secrets: {s: {environment: N}}",
    "a config": IMAGE % "configs: [c]" + "configs: {c: {environment: N}}",
    "an env_file": IMAGE % "env_file: bare.env",
    "env_files": IMAGE % "env_file: [none.env, bare.env]",
    "an env_file with its path": IMAGE % "env_file: [{path: bare.env, required: false}]",
    "an env_file named by a variable": IMAGE % "env_file: '${KIND:-bare}.env'",
    "an env_file named by a variable of .env": IMAGE % "env_file: '${OF_ENV}.env'",
    "an env_file that exports": IMAGE % "env_file: exporting.env",
    "an env_file that interpolates": IMAGE % "env_file: interpolating.env",
}
ENV_FILES = {
    "none.env": "# N\nFIXED=1\n",
    "bare.env": "FIXED=1\n  N\n",
    "exporting.env": "export N\n",
    "interpolating.env": "FIXED=${N:-1}\n",
    ".env": "OF_ENV=bare\n",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in ENV_FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("form", COMPOSE)
def test_a_variable_is_named_in_every_form_that_compose_knows(project: Path, form: str) -> None:
    (project / "docker-compose.yml").write_text(COMPOSE[form])
    found = passthrough.names(project)
    assert "N" in found
    assert "FIXED" not in found


@pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker command")
def test_compose_fills_it_in_in_each_of_these_forms(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("N", "of-the-shell")
    words = ["docker", "compose"]
    for number, text in enumerate(COMPOSE.values()):
        (project / f"compose{number}.yaml").write_text(text.replace("api:", f"api{number}:"))
        words += ["-f", f"compose{number}.yaml"]
    environment = inherited.environment("compose", project)
    words += ["config", "--format", "json"]
    said = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=True)
    services = [json.dumps(each) for _, each in sorted(json.loads(said.stdout)["services"].items(), key=_number)]
    without = {form for form, each in zip(COMPOSE, services, strict=True) if "of-the-shell" not in each}
    assert without == {"a secret", "a config"}  # Compose reads these when it makes the container


def _number(entry: tuple[str, Any]) -> int:
    return int(entry[0].removeprefix("api"))


@pytest.mark.parametrize("text", ["services: [", "a: &a [*a]", "\x00", "- - -", "", "services: {api: !reset null}"])
def test_a_file_that_is_wrong_names_nothing_and_breaks_nothing(project: Path, text: str) -> None:
    (project / "docker-compose.yml").write_text(text)
    (project / "compose.override.yaml").mkdir()
    assert not passthrough.names(project)


def test_a_service_without_containers_gets_it_as_well_and_from_the_env_file_too(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("N", "of-the-shell")
    monkeypatch.setenv("ANSIBLE_CONFIG", "not in the playbook, so nowhere")
    (project / "docker-compose.yml").write_text(IMAGE % "environment: [N, OF_ENV, ANSIBLE_CONFIG, NOWHERE]")
    found = loading.load(project, {"OF_ENV": "bare", "N": "of .env"}).services["api"]
    assert found.environment == {"N": "of-the-shell", "OF_ENV": "bare"}
