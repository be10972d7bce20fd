"""What of the user's shell reaches which program."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import pytest

from stackhand.local.engines.embedded.engine import EmbeddedEngine
from stackhand.project import inherited
from stackhand.project.stack import loading
from stackhand.project.state import State
from tests.checkout import ROOT
from tests.shells import HOSTILE

FRIENDLY = {
    "PATH": "/bin",
    "HOME": "/home/alice",
    "LC_ALL": "C.UTF-8",
    "HTTPS_PROXY": "http://proxy:3128",
    "no_proxy": "localhost",
    "SSL_CERT_FILE": "/bundle.pem",
    "DOCKER_HOST": "unix:///docker.sock",
    "COMPOSE_PROFILES": "debug",
    "COMPOSE_FILE": "docker-compose.yml",
    "WEB_PORT": "3111",
    "AWS_PROFILE": "shop",
    "TF_CLI_CONFIG_FILE": "/terraformrc",
    "TF_VAR_aws_endpoint": "http://127.0.0.1:4566",
    "SSH_AUTH_SOCK": "/agent",
    "GITHUB_ACTOR": "alice",
    "STACKHAND_TIMING": "poll=1",
    "LD_LIBRARY_PATH": "/opt/python/lib",
    "DYLD_FALLBACK_LIBRARY_PATH": "/opt/python/lib",
    "NIX_LD_LIBRARY_PATH": "/nix/store/lib",
    "EDITOR": "vi",
    "PSQLRC": "/home/alice/.psqlrc-shop",
    "PSQL_HISTORY": "/dev/null",
    "REDISCLI_HISTFILE": "/dev/null",
}
LOADER = {"LD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "NIX_LD_LIBRARY_PATH"}
PERSON = {"PATH", "HOME", "LC_ALL"} | LOADER
OF_CLIENTS = {"PSQLRC", "PSQL_HISTORY", "REDISCLI_HISTFILE"}
NETWORK = {"HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE"}
DOCKER = PERSON | NETWORK | {"DOCKER_HOST", "SSH_AUTH_SOCK"}
REACHES = {
    "ansible": set(FRIENDLY) - OF_CLIENTS - {"EDITOR"},
    "docker": DOCKER | {"AWS_PROFILE"},
    "compose": DOCKER | {"AWS_PROFILE", "COMPOSE_PROFILES", "COMPOSE_FILE", "WEB_PORT"},
    "terraform": PERSON | NETWORK | {"AWS_PROFILE", "SSH_AUTH_SOCK", "TF_CLI_CONFIG_FILE", "TF_VAR_aws_endpoint"},
    "session-manager": PERSON | NETWORK | {"AWS_PROFILE"},
    "git": PERSON | {"SSH_AUTH_SOCK"},
    "client": PERSON | OF_CLIENTS | {"EDITOR"},
    "shell": PERSON | {"SSH_AUTH_SOCK", "EDITOR"},
    "service": {"PATH", "HOME", "SSL_CERT_FILE"},
    "server": {"PATH"} | LOADER,
    "emulator": DOCKER,
    "rehearsal": DOCKER | {"TF_CLI_CONFIG_FILE", "STACKHAND_TIMING"},
}


WHOLE_SHELL = {
    "stackhand/development/verbs.py": "a developer's own tools",
    "stackhand/local/engines/embedded/launch.py": "ps, which reads nothing of it",
    "stackhand/cli/packages.py": "inv, which has a list of its own",
    "stackhand/system/ports.py": "lsof, which reads nothing of it",
    "stackhand/local/engines/embedded/supervisor.py": "launch.py, whose environment is complete",
}


@pytest.fixture(autouse=True)
def shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell with settings for us and for others."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {**FRIENDLY, **HOSTILE}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("program", sorted(inherited.REACHES))
def test_a_program_gets_what_is_for_it_and_nothing_of_a_hostile_shell(program: str) -> None:
    assert set(inherited.environment(program)) == REACHES[program]


def test_what_we_add_wins_over_the_shell() -> None:
    assert inherited.environment("terraform", AWS_PROFILE="other")["AWS_PROFILE"] == "other"


def test_stackhand_pass_lets_more_through_by_name_and_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKHAND_PASS", "GIT_DIR, TF_WORK*")
    assert {"GIT_DIR", "TF_WORKSPACE"} < set(inherited.environment("git"))


def test_a_name_in_the_compose_file_does_not_change_what_runs_it(tmp_path: Path) -> None:
    names = "HANDED, PYTHONPATH, LD_PRELOAD, ANSIBLE_CONFIG, COMPOSE_FILE"
    (tmp_path / "compose.override.yaml").write_text(f"services: {{api: {{environment: [{names}]}}}}\n")
    assert inherited._named(tmp_path) == {"HANDED"}


def test_a_server_finds_shared_libraries_and_is_not_restarted_for_other_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = "{api: {image: x, ports: ['127.0.0.1:1:2'], x-embedded: {%s}}}"
    fingerprints = set()
    for embedded in ("command: run", "engine: redis"):
        (tmp_path / "docker-compose.yml").write_text(f"services: {services % embedded}\n")
        for folder in ("/opt/python/lib", "/opt/another/lib"):
            monkeypatch.setenv("LD_LIBRARY_PATH", folder)
            server = EmbeddedEngine(State(tmp_path), loading.load(tmp_path, {})).servers()["api"]
            fingerprints.add(server.program().fingerprint)
            assert server.program().environment.items() >= {name: os.environ[name] for name in LOADER}.items()
    assert len(fingerprints) == 2


def test_our_own_process_forgets_settings_of_invoke_and_python() -> None:
    inherited.drop_foreign()
    assert not [name for name in os.environ if re.match("INVOKE_|PYTHON", name)]


def test_the_documented_table_names_every_program() -> None:
    text = (ROOT / "docs" / "environment.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)) == set(inherited.REACHES)


def test_every_program_is_started_with_an_environment_of_its_own() -> None:
    for path in sorted([*(ROOT / "stackhand").rglob("*.py"), *(ROOT / "roles").rglob("*.py")]):
        calls = [each for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(each, ast.Call)]
        starts = [each for each in calls if ast.unparse(each.func) in {"subprocess.run", "subprocess.Popen"}]
        bare = [each.lineno for each in starts if "env" not in {keyword.arg for keyword in each.keywords}]
        assert not bare or path.relative_to(ROOT).as_posix() in WHOLE_SHELL, f"{path}: {bare} inherit the whole shell"
