"""The containers and images themselves: what they may do, what is in them, and what an edit does to them."""

from __future__ import annotations

import http.client
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT, Checkout, clean_environment, docker, eventually

pytestmark = pytest.mark.slow
SERVICES = ("postgres", "redis", "api", "web")


@pytest.fixture(scope="module")
def production(engine: str) -> Iterator[str]:
    """The image of the service as it would be released."""
    assert engine == "compose"
    name = "stackhand-test-production"
    certificates = clean_environment().get("SSL_CERT_FILE", "/dev/null")
    words = [
        "build",
        "-q",
        "-f",
        "service/Dockerfile",
        "--target",
        "production",
        "--secret",
        f"id=ca,src={certificates}",
    ]
    arguments = ["--build-arg", "REVISION=abc1234", "--build-arg", "CREATED=2026-11-23T00:00:00Z"]
    subprocess.run(["docker", *words, *arguments, "-t", name, "."], cwd=ROOT, check=True, capture_output=True)
    yield name
    docker("image", "rm", "--force", name)


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_may_do_no_more_than_it_needs(running: Checkout, service: str) -> None:
    found = running.container(service)
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] is None
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["Init"] is True
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert docker("exec", found["Name"], "sh", "-c", "id -u").strip() != "0"
    bindings = [binding for each in host["PortBindings"].values() for binding in each]
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


def test_the_page_knows_its_names_the_state_and_whom_to_trust(running: Checkout) -> None:
    for host, status in (("web", 200), ("localhost", 200), ("rebound.example", 421)):
        connection = http.client.HTTPConnection("127.0.0.1", running.ports["WEB_PORT"], timeout=5)
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        assert (answer.status, b'class="components"' in answer.read()) == (status, status == 200)
        connection.close()
    name = running.container("web")["Name"]
    docker("exec", name, "sh", "-c", "[ -s /etc/ssl/cert.pem ] || [ -s /etc/ssl/certs/ca-certificates.crt ]")


def test_a_container_cannot_write_its_image(running: Checkout) -> None:
    name = running.container("api")["Name"]
    said = subprocess.run(["docker", "exec", name, "sh", "-c", "echo x > /app/x"], capture_output=True, check=False)
    assert said.returncode != 0
    assert docker("exec", name, "sh", "-c", "echo x > /tmp/x && echo written").strip() == "written"


def test_no_secret_is_in_an_image(running: Checkout) -> None:
    secrets = [
        running.setting(key) for key in ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "HEALTH_DETAILS_TOKEN", "NOTES_TOKEN")
    ]
    for service in ("api", "web"):
        image = f"{running.name}-{service}"
        text = docker("image", "inspect", image) + docker("history", "--no-trunc", image)
        assert not any(secret in text for secret in secrets)


def test_an_edit_of_the_service_is_served_without_a_command(running: Checkout) -> None:
    before = running.container("api")["Id"]
    running.edit("service/__init__.py", "0.2.0", "0.2.1")
    eventually(lambda: _version(running) == "0.2.1", "the edit is served", timeout=20)
    assert running.container("api")["Id"] == before
    running.edit("service/__init__.py", "0.2.1", "0.2.0")
    eventually(lambda: _version(running) == "0.2.0", "the edit is served", timeout=20)


def test_an_edit_that_breaks_the_service_waits_for_the_next_one(running: Checkout) -> None:
    running.edit("service/__init__.py", '__version__ = "', '__version__ = broken "')
    eventually(lambda: "waiting for the next edit" in running.inv("logs", "api").out, "the breakage is told")
    assert "SyntaxError" in running.inv("logs", "api").out
    running.edit("service/__init__.py", '__version__ = broken "', '__version__ = "')
    eventually(lambda: _version(running) == "0.2.0", "the fixed service is served", timeout=20)


def test_an_edit_of_the_page_is_served_without_a_command(running: Checkout) -> None:
    page = running.path / "web" / "index.html"
    page.write_text(page.read_text() + "<!-- edited -->\n")
    said = subprocess.run(
        ["curl", "-s", f"http://127.0.0.1:{running.ports['WEB_PORT']}/"], capture_output=True, text=True, check=True
    )
    assert "<!-- edited -->" in said.stdout


def test_the_production_image_has_no_test_reload_or_build_tool(production: str) -> None:
    script = """
import importlib.util, json, pathlib, shutil
modules = [name for name in ("pip", "watchfiles", "pytest", "uv", "setuptools") if importlib.util.find_spec(name)]
programs = [name for name in ("pip", "pip3", "gcc", "cc", "make", "git", "curl") if shutil.which(name)]
print(json.dumps([modules, programs, sorted(path.name for path in pathlib.Path("service").iterdir())]))
"""
    modules, programs, files = json.loads(docker("run", "--rm", production, "python", "-c", script))
    assert modules == []
    assert programs == []
    assert {"develop.py", "Dockerfile", "requirements.lock"} & set(files) == set()
    assert "__main__.py" in files


def test_the_production_image_says_what_it_was_made_of(production: str) -> None:
    found = json.loads(docker("image", "inspect", production))[0]["Config"]
    assert found["Labels"]["org.opencontainers.image.revision"] == "abc1234"
    assert found["Labels"]["org.opencontainers.image.created"] == "2026-11-23T00:00:00Z"
    assert found["User"] == "10001:10001"
    assert "python -m service check" in " ".join(found["Healthcheck"]["Test"])


def test_the_service_adds_less_than_forty_megabytes_to_its_base_image(production: str) -> None:
    """Of the ninety that the image may have, python:3.13-alpine takes about forty-five."""
    base = json.loads(docker("image", "inspect", "python:3.13-alpine"))[0]["Size"]
    assert json.loads(docker("image", "inspect", production))[0]["Size"] - base < 40_000_000


def test_no_certificate_of_this_machine_is_in_the_image(production: str, folder: Path) -> None:
    """The bundle is a secret of the build: neither its file nor its text is in any layer above the base image."""
    bundle = clean_environment().get("SSL_CERT_FILE", "")
    if not bundle:
        pytest.skip("this machine has no bundle of certificates of its own in SSL_CERT_FILE")
    needle = Path(bundle).read_bytes()[:2000]
    saved = folder / "image.tar"
    docker("save", "--output", str(saved), production)
    below = set(json.loads(docker("image", "inspect", "python:3.13-alpine"))[0]["RootFS"]["Layers"])
    with tarfile.open(saved) as file:
        manifest = json.load(file.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
        layers = json.load(file.extractfile(manifest["Config"]))["rootfs"]["diff_ids"]  # type: ignore[arg-type]
        own = [name for name, digest in zip(manifest["Layers"], layers, strict=True) if digest not in below]
        assert own
        for name in own:
            assert needle not in file.extractfile(name).read()  # type: ignore[union-attr]


def _version(running: Checkout) -> str:
    try:
        return str(running.ask("/version")[1].get("version"))
    except OSError:
        return "none"
