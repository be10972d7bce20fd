"""What is written down agrees with what is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

import tasks
from stackhand.cli.failure import ExitCode
from stackhand.project import schema
from stackhand.release.images import provenance
from tests.checkout import ROOT

OUTPUT = (ROOT / "docs" / "output.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def inv(*words: str) -> str:
    command = [sys.executable, "-m", "stackhand", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def verbs() -> list[str]:
    found = json.loads(inv("--list", "--list-format", "json"))
    names = [task["name"] for task in found["tasks"]]
    return names + [f"{each['name']}.{task['name']}" for each in found["collections"] for task in each["tasks"]]


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert re.search(rf"[`/ ]{re.escape(verb)}`", README), f"{verb} is not in README.md"


def test_every_flag_has_a_help_text() -> None:
    bare = {
        f"{context.name} {name}"
        for context in tasks.ns.to_contexts()
        for name, argument in context.args.items()
        if not argument.help
    }
    assert bare == set()
    assert "auto, compose or embedded" in inv("--help", "up")  # and it is shown


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_is_documented(code: ExitCode) -> None:
    assert f"| {int(code)} | {code.name.lower().replace('_', ' ')} |" in OUTPUT


@pytest.mark.parametrize("key", sorted(schema.read(ROOT / ".env.example")))
def test_every_setting_is_documented_and_used(key: str) -> None:
    setting = schema.read(ROOT / ".env.example")[key]
    prose = [line for line in setting.block.splitlines() if line.startswith("# ") and "type:" not in line]
    assert any(line.rstrip().endswith(".") for line in prose)
    assert f"${{{key}" in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def test_every_variable_of_an_environment_is_documented() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    variables = (ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")
    names = re.findall(r'^variable "(\w+)"', variables, re.MULTILINE)
    assert [name for name in names if not re.search(rf"`{name}`", text)] == []


@pytest.mark.parametrize("name", ["staging", "production", "rehearsal"])
def test_the_file_of_each_environment_asks_who_is_told_of_alarms(name: str) -> None:
    text = (ROOT / "environments" / f"{name}.tfvars").read_text(encoding="utf-8")
    assert re.search(r'^alarm_email += "[^"]*" # \w+', text, re.MULTILINE)


@pytest.mark.parametrize("name", ["service/Dockerfile", "web/Dockerfile"])
def test_a_release_is_built_on_pinned_images_only(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, re.MULTILINE))
    stages = set(re.findall(r"^FROM \S+ AS (\w[\w-]*)$", text, re.MULTILINE))
    bases = {
        re.sub(r"\$\{(\w+)\}", lambda match: arguments[match[1]], each)
        for each in re.findall(r"^FROM (\S+)", text, re.M)
    }
    assert bases - stages <= provenance.pins().keys(), "add it to images.lock, with its digest"


def test_the_updater_finds_every_digest_and_the_placeholder_is_the_pinned_image() -> None:
    found: dict[str, set[tuple[str, ...]]] = {}
    for manager in json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))["customManagers"]:
        [path], [pattern] = manager["managerFilePatterns"], manager["matchStrings"]
        name = path.strip("/^$").replace("\\", "")
        matches = re.finditer(pattern.replace("(?<", "(?P<"), (ROOT / name).read_text(encoding="utf-8"))
        found[name] = {each.group("depName", "currentValue", "currentDigest") for each in matches}
    assert {f"{name}:{tag}": digest for name, tag, digest in found["images.lock"]} == provenance.pins()
    assert found["terraform/variables.tf"] <= found["images.lock"]
    assert len(found["terraform/variables.tf"]) == 1


def test_every_module_is_in_the_architecture_map() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = [path for path in (ROOT / "stackhand").rglob("*.py") if not path.name.startswith("__")]
    small = {"verbs.py", "status.py", "base.py"}
    missing = [
        path.name
        for path in modules
        if path.name not in small and path.name not in text and path.parent.name not in {"servers", "tasks"}
    ]
    assert missing == []


def test_no_two_classes_of_the_toolkit_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "stackhand").rglob("*.py")):
        for name in re.findall(r"^class (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("name", [path.name for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))])
def test_every_decision_is_numbered_and_short(name: str) -> None:
    text = (ROOT / "docs" / "decisions" / name).read_text(encoding="utf-8")
    assert text.startswith(f"# {name[:3]} ")
    assert len(text.split()) <= 350


def test_every_proof_in_security_document_exists() -> None:
    proofs = re.findall(
        r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    )
    assert len(proofs) > 20
    missing = [(file, name) for file, name in proofs if f"def {name}" not in (ROOT / file).read_text(encoding="utf-8")]
    assert missing == []


def test_links_between_documents_exist() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_setting_of_the_service_is_documented() -> None:
    code = (ROOT / "service" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', code))
    table = (ROOT / "docs" / "service.md").read_text(encoding="utf-8").partition("## Settings")[2].partition("##")[0]
    assert read - set(re.findall(r"`([A-Z0-9_]+)`", table)) == set()
    assert set(re.findall(r"`([A-Z0-9_]+)`", table)) - read == set()


def test_every_resilience_claim_has_a_test() -> None:
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| (`\w+`(?:, `\w+`)*) \|$", text, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 44))
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "service").rglob("test_*.py"))
    missing = [name for _, names in rows for name in re.findall(r"\w+", names) if f"def test_{name}(" not in tests]
    assert missing == []
