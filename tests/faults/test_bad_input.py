"""Bad input: each is refused before any work, with a sentence, and its exit code."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from stackhand.project.stack import loading
from tests.checkout import ROOT, Checkout

WRONG = {
    "COMPOSE_PROJECT_NAME": ("My Shop", "a name"),
    "ENVIRONMENT": ("prod", "one of development, test, staging, production"),
    "WEB_PORT": ("99999", "a port, 1 to 65535"),
    "API_PORT": ("http", "a port, 1 to 65535"),
    "POSTGRES_PORT": ("0", "a port, 1 to 65535"),
    "REDIS_PORT": ("-1", "a port, 1 to 65535"),
    "POSTGRES_USER": ("Robert'); DROP TABLE", "a name"),
    "POSTGRES_PASSWORD": ("short", "a secret of 8 characters or more"),
    "POSTGRES_DB": ("1st", "a name"),
    "REDIS_PASSWORD": ("short", "a secret of 8 characters or more"),
    "REDIS_MAXMEMORY": ("64", "a size such as 64mb"),
    "LOG_LEVEL": ("loud", "one of debug, info, warning, error"),
    "PROBE_INTERVAL": ("soon", "a number of seconds, 1 to 3600"),
    "CORS_ORIGINS": ("https://example.org/page", "origins such as https://example.org, separated by commas"),
    "ALLOWED_HOSTS": (
        "https://example.org",
        "host names such as example.org, separated by commas (.example.org: with subdomains, *: any), or nothing",
    ),
    "API_URL": ("https://a.example, https://b.example", "an origin such as https://example.org, or nothing"),
    "HEALTH_DETAILS_TOKEN": ("short", "a secret of 8 characters or more"),
    "DATABASE_USER": ("Robert'); DROP TABLE", "a name"),
    "DATABASE_PASSWORD": ("short", "a secret of 8 characters or more"),
    "NOTES_TOKEN": ("short", "a secret of 8 characters or more"),
}


def test_every_setting_of_the_example_has_a_wrong_value_here() -> None:
    from stackhand.project import schema
    from tests.checkout import ROOT

    assert set(WRONG) == set(schema.read(ROOT / ".env.example"))


def test_all_wrong_settings_are_named_at_once_with_what_was_expected(checkout: Checkout) -> None:
    checkout.env(**{key: value for key, (value, _) in WRONG.items()})
    said = checkout.inv("up", check=False)
    assert said.code == 3
    assert f".env has {len(WRONG)} invalid values." in said.err
    for key, (value, expected) in WRONG.items():
        line = next(line for line in said.err.splitlines() if line.strip().startswith(key))
        assert f"{key} must be {expected}" in line
        assert (value in line) is ("secret" not in expected)
    assert not (checkout.state / "data" / "postgres").exists()


@pytest.mark.parametrize("key", sorted(WRONG))
def test_each_wrong_setting_is_refused_alone(folder: Path, key: str) -> None:
    from stackhand.cli.failure import Failure
    from stackhand.project import settings

    shutil.copy2(ROOT / ".env.example", folder)
    settings.ensure(folder)
    with (folder / ".env").open("a") as file:
        file.write(f"{key}={WRONG[key][0]}\n")
    with pytest.raises(Failure, match="1 invalid value") as caught:
        settings.ensure(folder)
    assert caught.value.evidence[0].startswith(f"{key} must be {WRONG[key][1]}")


def test_an_unknown_x_key_is_refused_with_the_known_ones(checkout: Checkout) -> None:
    checkout.edit("docker-compose.yml", "x-health: /healthz", "x-helth: /healthz")
    said = checkout.inv("up", check=False)
    assert said.code == 3
    assert "docker-compose.yml: services.web.x-helth must be one of the known x- keys" in said.err
    assert "x-health, x-embedded, x-aws" in said.err
    assert "Traceback" not in said.err


def test_a_taken_port_is_told_with_its_holder_and_the_ways_out(checkout: Checkout) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", checkout.ports["API_PORT"]))
        holder.listen()
        said = checkout.inv("up", check=False)
    assert said.code == 5
    assert f"Port {checkout.ports['API_PORT']} is taken." in said.err
    assert f"pid {os.getpid()} (" in said.err
    assert "--free-ports" in said.err
    assert "stop that process" in said.err


def test_free_ports_moves_the_whole_block_and_keeps_it(checkout: Checkout) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", checkout.ports["API_PORT"]))
        holder.listen()
        said = checkout.inv("up", "--free-ports")
        moved = {key: int(checkout.setting(key)) for key in checkout.ports}
        assert len({moved[key] - checkout.ports[key] for key in moved}) == 1
        assert moved["API_PORT"] != checkout.ports["API_PORT"]
        assert f"ports moved and stored in .env: POSTGRES_PORT {moved['POSTGRES_PORT']}" in said.out
    checkout.ports.update(moved)
    checkout.inv("down")
    checkout.inv("up")
    assert checkout.ask("/health")[0] == 200


def test_an_explicit_engine_that_does_not_exist_is_refused(checkout: Checkout) -> None:
    said = checkout.inv("up", "--engine", "podman", check=False)
    assert said.code == 2
    assert "There is no engine 'podman'" in said.err


@pytest.mark.parametrize("shape", ["- a list", "services: 3", "services:\n  web: [", "services: {web: {ports: [x]}}"])
def test_a_compose_file_that_cannot_be_read_is_told_by_its_place(folder: Path, shape: str) -> None:
    from stackhand.cli.failure import ExitCode, Failure

    (folder / "docker-compose.yml").write_text(shape)
    with pytest.raises(Failure) as caught:
        loading.load(folder, {})
    assert caught.value.code == ExitCode.PREFLIGHT
    assert "docker-compose.yml" in caught.value.text()


def test_a_failure_with_json_is_one_document(checkout: Checkout) -> None:
    checkout.env(LOG_LEVEL="loud")
    said = checkout.inv("up", "--json", check=False)
    assert said.json["error"]["code"] == said.code == 3
    assert said.json["error"]["kind"] == "preflight"
    assert said.json["error"]["evidence"] == ["LOG_LEVEL must be one of debug, info, warning, error, not 'loud'"]


def test_a_checkout_that_cannot_be_written_is_told(checkout: Checkout, tmp_path: Path) -> None:
    """As another account than root, whom no mode stops, and with root's home, which it may not look into."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    environment = os.environ | {"HOME": str(home)}
    account = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    checkout.path.chmod(0o555)
    said = subprocess.run(
        ["./inv", "up"], cwd=checkout.path, env=environment, capture_output=True, text=True, check=False, **account
    )
    checkout.path.chmod(0o755)
    assert said.returncode == 3
    assert re.search(r"belongs to \w+, and you are|cannot write to", said.stderr)
    assert re.search(r"sudo chown -R|make it writable", said.stderr)


def test_a_state_folder_that_cannot_be_made_is_told() -> None:
    from stackhand.cli.failure import Failure
    from stackhand.project.state import State

    with pytest.raises(Failure, match=r"/proc/1/\.stackhand cannot be written"):
        State(Path("/proc/1")).make()


def test_unexpected_error_in_a_step_is_reported_as_bug(checkout: Checkout) -> None:
    action = "plugins/action/environment_machine.py"
    checkout.edit(action, "preflight.machine(PROJECT)", "str(1 // 0)")
    said = checkout.inv("up", check=False)
    assert said.code == 1
    assert "This is a bug in Stackhand: environment_machine raised ZeroDivisionError" in said.err
    traceback = re.search(r"traceback: (\S+)", said.err)
    assert traceback is not None
    assert "1 // 0" in (checkout.path / traceback[1]).read_text()
