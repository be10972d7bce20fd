"""The files of terraform/ by themselves: formatted, valid, true to their own tests, and fit for checkov."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from pathlib import Path

import pytest

from stackhand.cli import packages
from stackhand.infrastructure.services import services, tfvars
from stackhand.project import environments
from tests.checkout import ROOT
from tests.terraform.conftest import Module

FOLDER = ROOT / "terraform"
OTHER = {"COMPOSE_PROJECT_NAME": "shop-staging", "POSTGRES_USER": "keeper", "SITE": "https://shop.example"}
"""The settings with which tests/other is resolved."""


def test_terraform_formats_and_accepts_them(module: Module) -> None:
    for folder in (FOLDER, ROOT / "environments"):
        assert subprocess.run(["terraform", "fmt", "-check", "-recursive", str(folder)], check=False).returncode == 0
    module.run("validate")


def test_each_says_first_what_it_is_about() -> None:
    first = {path.name: path.read_text(encoding="utf-8").splitlines()[0] for path in FOLDER.glob("*.tf")}
    assert [name for name, line in first.items() if not line.startswith("# ")] == []


@pytest.mark.timeout(400)
def test_their_own_tests_pass(module: Module) -> None:
    for name, variables in (("other", OTHER), ("longest", {})):
        tfvars.write(module.path / "tests" / name / "services.json", FOLDER / "tests" / name, variables)
    said = module.run("test", "-no-color", *module.files("staging")[1:], check=False)
    assert said.code == 0, said.out + said.err
    runs = len(re.findall(r'^run "', "".join(path.read_text() for path in FOLDER.glob("tests/*.tftest.hcl")), re.M))
    assert f"Success! {runs} passed, 0 failed." in said.out


@pytest.mark.timeout(400)
def test_checkov_finds_nothing_and_is_told_why_it_skips(tmp_path: Path) -> None:
    packages.CHECKOV.ensure()
    program = [str(ROOT / ".venv" / "tools" / "checkov" / "bin" / "python"), "-m", "checkov.main"]
    words = ["--directory", str(FOLDER), "--framework", "terraform", "--skip-download", "--output", "json"]
    production = [
        "--var-file",
        str(ROOT / "environments" / "production.tfvars"),
        "--var-file",
        str(tmp_path / "services.tfvars.json"),
    ]
    tfvars.write(tmp_path / "services.tfvars.json", ROOT, services.variables_of(environments.load("production")))
    said = subprocess.run([*program, *words, *production], capture_output=True, text=True, timeout=380, check=False)
    found = json.loads(said.stdout)
    assert [f"{each['check_id']} {each['resource']}" for each in found["results"]["failed_checks"]] == []
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 250
    reasons = [each["check_result"].get("suppress_comment", "") for each in found["results"]["skipped_checks"]]
    assert all(len(reason.split()) >= 5 for reason in reasons), reasons


def test_the_certificates_of_the_databases_are_ones() -> None:
    context = ssl.create_default_context(cafile=str(ROOT / "service" / "rds.pem"))
    names = [dict(pair[0] for pair in each["subject"])["commonName"] for each in context.get_ca_certs()]
    assert "Amazon RDS eu-west-1 Root CA RSA2048 G1" in names
    assert len(names) > 20
    assert all(re.fullmatch(r"Amazon RDS [a-z0-9-]+ Root CA RSA2048 G1", name) for name in names)


@pytest.mark.parametrize("name", ["staging", "production", "rehearsal"])
def test_the_files_of_the_environments_are_short_and_have_only_known_variables(name: str) -> None:
    text = (ROOT / "environments" / f"{name}.tfvars").read_text(encoding="utf-8")
    known = set(re.findall(r'^variable "(\w+)"', (FOLDER / "variables.tf").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"^(\w+)\s*=", text, re.M)) <= known
    assert len(text.splitlines()) <= 25
