"""The wheel, in an environment of its own and a project that is not ours; the checkout has no part in it."""

from __future__ import annotations

import re
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from stackhand import version
from stackhand.project.compose import composefiles
from stackhand.system.roots import LOCK
from tests import installed
from tests.checkout import ROOT, free_ports
from tests.installed import Project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]
MEGABYTE = 1_000_000
CONTENT = "ansible_collections/stackhand/ops/"
COMPOSE = """
x-stackhand:
  test: sh -c 'echo "cache at $$STACKHAND_PORT_CACHE, $$STACKHAND_PORT_CACHE_6379, $$LEVEL"; exit $$CODE'
services:
  cache:
    image: valkey/valkey:8-alpine
    ports: ["{port}:6379"]
  worker:
    image: shop/worker
    x-embedded: {{command: python3 -m service}}
"""
WATCHED = """
services:
  database:
    image: postgres:16-alpine
    environment: {{POSTGRES_PASSWORD: "${{SECRET:-x y}}"}}
    ports: ["{port}:5432"]
  cache: {{image: "redis:7-alpine"}}
"""
ADD_STATUS = f"""
from pathlib import Path
from stackhand.adoption import statusservice
from stackhand.project.compose import composefiles
from stackhand.project.stack import loading
added = statusservice.overlay(loading.load(Path.cwd(), {{}}))
Path("{composefiles.OVERLAY}").write_text("services:\\n" + added.services + added.secrets)
"""
THEIRS = {
    ".gitignore": "__pycache__/\n",
    "tasks.py": "raise SystemExit('their verbs')\n",
    "ansible.cfg": "[defaults]\nstdout_callback = theirs\n",
    "roles/stack/tasks/main.yml": "- ansible.builtin.fail: {msg: their role}\n",
    "playbooks/up.yml": "- hosts: all\n",
    "service/__init__.py": "",
    "service/__main__.py": "import time\n\nprint('their service', flush=True)\ntime.sleep(600)\n",
    "yaml.py": "raise SystemExit('their library')\n",
    "stackhand.lock": "",
    "api/src/main.go": "",
}
"""What a project may have under names of ours, and what makes it one."""


@pytest.fixture(scope="module")
def folder_of_module() -> Iterator[Path]:
    """A folder that every account may pass through."""
    with tempfile.TemporaryDirectory(prefix="sh-") as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


@pytest.fixture(scope="module")
def project(wheel: Path, folder_of_module: Path) -> Iterator[Project]:
    """A project, with the wheel installed elsewhere."""
    environment, path = folder_of_module / "environment", folder_of_module / "shop"
    installed.install(environment, wheel)
    for name, text in THEIRS.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    (path / "compose.yaml").write_text(COMPOSE.format(port=free_ports()["WEB_PORT"]), encoding="utf-8")
    made = Project(path, environment)
    made.git("init", "--quiet")
    made.git("add", ".")
    yield made
    if (path / ".stackhand").exists():
        made.run("stackhand", "down", "--volumes", "--yes", check=False)


def test_it_is_small_and_takes_no_name_of_a_project(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.stat().st_size < 2 * MEGABYTE
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"ansible_collections", "stackhand"}
    unwanted = [name for name in names if "__pycache__" in name or "/tests/" in name or name.endswith(".env")]
    assert not unwanted


def test_its_version_is_that_of_the_checkout_it_was_built_from(wheel: Path, project: Project) -> None:
    built = version.of(ROOT / "stackhand")
    assert built.commit
    assert wheel.name.split("-")[1] == built.number
    assert project.run("stackhand", "--version").out == f"stackhand {built}\n"


def test_its_content_is_what_the_images_of_the_status_service_are_built_from(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = {name.removeprefix(CONTENT) for name in archive.namelist() if name.startswith(CONTENT)}
    copied = [
        word
        for dockerfile in ("service/Dockerfile", "web/Dockerfile")
        for line in archive.read(f"{CONTENT}{dockerfile}").decode().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert [word for word in copied if not any(fnmatch(name, word) or f"{word}/" in name for name in names)] == []
    assert len(copied) > 4
    # and nothing else of it is sent to the builder
    assert archive.read(f"{CONTENT}.dockerignore") == (ROOT / ".dockerignore").read_bytes()


def test_a_project_with_the_same_names_goes_up_from_a_folder_of_it(project: Project) -> None:
    up = project.run("stackhand", "up", "--engine", "embedded", folder="api/src")
    assert "shop is up, on embedded" in up.out
    services = {
        each["name"]: each for each in project.run("stackhand", "status", "--json", folder="api").json["services"]
    }
    assert {name: each["state"] for name, each in services.items()} == {"cache": "healthy", "worker": "healthy"}
    assert "their service" in project.run("stackhand", "logs", "worker").out
    assert project.git("status", "--porcelain", "--untracked-files=all").split("\n") == [
        *(f"A  {name}" for name in sorted([*THEIRS, "compose.yaml"])),
        "",
    ]


def test_its_status_service_and_page_run_from_the_wheel_in_a_project(project: Project, folder_of_module: Path) -> None:
    ports = free_ports()
    watched = Project(folder_of_module / "watched", project.environment)
    watched.path.mkdir()
    (watched.path / LOCK).touch()
    (watched.path / "compose.yaml").write_text(WATCHED.format(port=ports["POSTGRES_PORT"]), encoding="utf-8")
    watched.run("python", "-P", "-c", ADD_STATUS)
    watched.run("stackhand", "eject", "page")
    own = watched.path / "ops" / "web" / "index.html"
    own.write_text(own.read_text(encoding="utf-8").replace("</body>", "<!-- theirs --></body>"), encoding="utf-8")
    numbers = {"STATUS_PORT": str(ports["WEB_PORT"]), "STATUS_API_PORT": str(ports["API_PORT"])}
    try:
        watched.run("stackhand", "up", "--engine", "embedded", **numbers)
        with urllib.request.urlopen(f"http://127.0.0.1:{ports['WEB_PORT']}/", timeout=10) as answer:
            page = answer.read().decode()
        assert "watched · development · embedded" in page
        assert re.findall(r"<b>(.*?)</b>", page) == ["Database", "Cache", "status"]
        assert "All systems operational" in page
        assert "<!-- theirs -->" in page
    finally:
        watched.run("stackhand", "down", "--volumes", "--yes", check=False, **numbers)


def test_its_own_tests_run_against_the_stack(project: Project) -> None:
    port = project.run("stackhand", "up", "--json", "--engine", "embedded").json["services"][0]["ports"][0]
    passed = project.run("stackhand", "test", folder="api", LEVEL="theirs", CODE="0")
    assert (passed.out, passed.err) == (f"cache at {port}, {port}, theirs\n", "")
    failed = project.run("stackhand", "test", check=False, CODE="7")
    assert (failed.code, failed.out, " ended with exit code 7." in failed.err) == (
        1,
        f"cache at {port}, {port}, \n",
        True,
    )
    project.run("stackhand", "down")
    refused = project.run("stackhand", "test", check=False)
    assert (refused.code, refused.out) == (4, "")
    assert "shop is not running.\n    next: stackhand up, or stackhand test --up" in refused.err
    passed = project.run("stackhand", "test", "--up", CODE="0")
    assert passed.out == f"cache at {port}, {port}, \n"
    assert "shop is up, on embedded" in passed.err


def test_its_playbooks_are_those_of_a_collection(project: Project) -> None:
    content = next((project.environment / "lib").glob("python3*/site-packages/ansible_collections/stackhand/ops"))
    by_name = {"ANSIBLE_CONFIG": str(content / "ansible.cfg"), "STACKHAND_PROJECT": str(project.path)}
    up = project.run("ansible-playbook", "stackhand.ops.up", "-e", "stack_engine=embedded", **by_name)
    assert "cache" in up.out
    assert "stopped: cache, worker" in project.run("ansible-playbook", "stackhand.ops.down", **by_name).out
    assert not [each for each in content.glob(".*") if each.is_dir()]  # Ansible's own folder is in the project


def test_the_verbs_are_those_of_stackhand(project: Project) -> None:
    listed = project.run("stackhand", "--list").out
    assert "cloud.exec" in listed
    assert "their verbs" not in listed
    own = project.run("stackhand", "check", check=False)
    assert (own.code, own.err.splitlines()[0]) == (2, "  ✗ check needs --cloud and an environment.")
    assert "bench.local" not in listed


def test_messages_name_the_command_of_a_project_without_an_inv(project: Project) -> None:
    assert project.run("stackhand", "logs", "--lines", "x", check=False).err.endswith("\nnext: stackhand --help logs\n")
    refused = project.run("stackhand", "db.status", check=False)
    assert refused.err.endswith("\n    next: stackhand status shows what there is\n")
    as_json = project.run("stackhand", "db.status", "--json", check=False).json
    assert as_json["error"]["next"] == "stackhand status shows what there is"
    assert project.run("stackhand", "--help", "up").out.startswith("Usage: stackhand ")
    script = project.run("stackhand", "--print-completion-script", "bash").out
    assert "`stackhand --complete -- " in script
    assert script.rstrip().endswith("default stackhand\n\n# vim: set ft=sh :")
    assert "up" in project.run("stackhand", "--complete", "--", "stackhand").out.split()
