"""What `stackhand init` reads in Compose files and Dockerfiles, and what it writes and takes out again."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from stackhand.adoption import answers, classification, files, pin, renewal, repository
from stackhand.adoption.answers import Answers
from stackhand.adoption.classification import Classified
from stackhand.adoption.files import File
from stackhand.cli.failure import Failure
from stackhand.project.compose import composefiles
from stackhand.project.stack import dockerfile, loading
from stackhand.project.stack.dockerfile import Image

ANSWERS = Answers(stack="shop", public="web", region="eu-west-1", account="123456789012", health={"web": "/ok"})


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("FROM a\nEXPOSE 3000/tcp 53/udp\nCMD node server.js", Image((3000,), "", ("node", "server.js"))),
        (
            'FROM a\nENV PORT=80\nEXPOSE $PORT\nENTRYPOINT ["/s"]\nCMD ["-p", "$PORT"]',
            Image((80,), "", ("/s", "-p", "80")),
        ),
        ("FROM a\nCMD node x.js && true", Image((), "", ("sh", "-c", "node x.js && true"))),
        ("FROM a AS build\nEXPOSE 1\nCMD one\nFROM b\nEXPOSE 2", Image((2,), "", ())),
        ("FROM a AS base\nEXPOSE 1\nCMD one\nFROM --platform=x base AS last\nCMD two", Image((1,), "", ("two",))),
        ("FROM a\nCMD one\nENTRYPOINT two", Image((), "", ("two",))),
        (
            "FROM a\nHEALTHCHECK --interval=5s --timeout=1s CMD curl \\\n -f http://localhost:1/h",
            Image((), "curl  -f http://localhost:1/h"),
        ),
        ("FROM a\nHEALTHCHECK CMD x\nHEALTHCHECK NONE", Image()),
        ("", Image()),
    ],
)
def test_a_dockerfile_tells_ports_health_check_and_command(text: str, image: Image, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(text, encoding="utf-8")
    found = dockerfile.read(tmp_path / "Dockerfile")
    assert structs.replace(found, base="") == image


def test_the_target_of_a_dockerfile_counts(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("ARG V=1\nFROM a:$V AS Dev\nEXPOSE 1\nUSER node\nFROM dev AS live\nEXPOSE 2\n", encoding="utf-8")
    assert dockerfile.read(path, "dev") == Image((1,), base="a:1", user="node")
    assert dockerfile.read(path, "other", {"V": "2"}) == Image((1, 2), base="a:2", user="node")
    assert dockerfile.read(tmp_path / "none") == Image()


def classify(tmp_path: Path, **services: dict[str, Any]) -> dict[str, Classified]:
    """Return what services are, by name; `dockerfile` is the text of theirs."""
    for name, entry in services.items():
        if text := entry.pop("dockerfile", ""):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "Dockerfile").write_text(text, encoding="utf-8")
            entry["build"] = {"context": str(tmp_path / name)}
    stack = loading.of(tmp_path, {"name": "shop", "services": services}, "compose.yaml")
    return {each.name: each for each in classification.classify(stack, services)}


PORT = {"target": 3000, "published": "8080"}


@pytest.mark.parametrize(
    ("test", "path"),
    [
        (["CMD", "curl", "-f", "http://localhost:3000/health"], "/health"),
        (["CMD-SHELL", "wget -qO- 'http://127.0.0.1:3000/live?full=1' || exit 1"], "/live?full=1"),
        (["CMD-SHELL", "curl -f http://localhost:3000 || exit 1"], "/"),
        (["CMD", "python", "-c", "urllib.request.urlopen('http://0.0.0.0:3000/up')"], "/up"),
        (["CMD-SHELL", "curl http://localhost:$PORT/h"], "/h"),
        (["CMD", "curl", "http://localhost:9000/other"], ""),
        (["CMD", "curl", "https://example.org/"], ""),
        (["CMD", "true"], ""),
    ],
)
def test_the_path_of_an_http_health_check_is_the_health_path(tmp_path: Path, test: list[str], path: str) -> None:
    found = classify(tmp_path, web={"dockerfile": "FROM a\nCMD x", "ports": [PORT], "healthcheck": {"test": test}})
    assert (found["web"].health, found["web"].checked) == (path, True)
    assert bool(found["web"].notes) == (not path)


def test_a_command_runs_where_its_files_are_in_the_context_or_beside_the_dockerfile(tmp_path: Path) -> None:
    build = {"context": str(tmp_path), "dockerfile": "api/Dockerfile"}
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "Dockerfile").write_text("FROM a\nCMD sh serve.sh")
    for folder in ("api", ""):
        (tmp_path / folder / "serve.sh").touch()
        found = classify(tmp_path, api={"build": build})["api"]
        assert (found.command, found.working_dir, found.missing) == (("sh", "serve.sh"), folder, "")
    for text, missing in (('{"dependencies": {}}', ""), ('{"dependencies": {"a": "1"}}', "its packages: npm install")):
        (tmp_path / "package.json").write_text(text)
        assert classify(tmp_path, api={"build": build})["api"].missing == missing


def test_each_kind_is_told(tmp_path: Path) -> None:
    own = "FROM a\nEXPOSE 3000\nHEALTHCHECK CMD curl http://localhost:3000/h\nCMD sh server"
    done = {"migrate": {"condition": "service_completed_successfully"}}
    found = classify(
        tmp_path,
        web={"dockerfile": own, "ports": [PORT], "depends_on": {**done, "inside": {"condition": "service_started"}}},
        inside={"dockerfile": own},
        worker={"dockerfile": "FROM a\nCMD sh work"},
        migrate={"dockerfile": "FROM a", "command": ["sh", "migrate"]},
        db={"image": "postgres:16"},
        maria={"image": "mariadb:11"},
        mail={"image": "axllent/mailpit", "ports": [{"target": 8025}]},
    )
    assert {name: each.kind for name, each in found.items()} == {
        "web": "web",
        "inside": "web",
        "worker": "worker",
        "migrate": "job",
        "db": "managed",
        "maria": "managed",
        "mail": "web",
    }
    assert {name for name, each in found.items() if each.public} == {"web"}
    on_aws = {name for name, each in found.items() if each.built or each.managed}
    assert on_aws == {"web", "inside", "worker", "migrate", "db"}
    assert found["web"].health == "/h"
    assert found["inside"].health == ""  # asked for at the first of `ports`, and it has none
    assert found["inside"].port == 3000
    assert found["web"].command == ("sh", "server")


def test_a_worker_of_a_web_servers_image_is_none_and_its_inherited_check_is_noted(tmp_path: Path) -> None:
    image = "FROM a\nEXPOSE 3000\nHEALTHCHECK CMD curl http://localhost:3000/h\nCMD x"
    found = classify(tmp_path, worker={"dockerfile": image, "command": ["sh", "work"]})
    assert found["worker"].kind == "worker"
    assert "healthcheck: {disable: true}" in found["worker"].notes[0]


def test_a_command_that_this_machine_cannot_run_is_commented_out(tmp_path: Path) -> None:
    found = classify(
        tmp_path,
        python={"dockerfile": "FROM a\nCMD gunicorn -b :3000 app", "ports": [PORT]},
        go={"dockerfile": 'FROM a\nCMD ["/no-such-program"]'},
        sh={"dockerfile": "FROM a\nCMD exec sh serve 3000", "ports": [PORT]},
    )
    assert {name for name, each in found.items() if each.missing} == {"python", "go"}
    text = files.overlay(list(found.values()), ["compose.yaml"])
    assert "# x-embedded: {command: gunicorn -b :$$PORT app, working_dir: python}" in text
    assert yaml.safe_load(text)["services"]["sh"]["x-embedded"]["working_dir"] == "sh"
    (tmp_path / "python" / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / "python" / ".venv" / "bin" / "gunicorn").touch()
    found = classify(tmp_path, python={"dockerfile": "FROM a\nCMD gunicorn -b :3000 app", "ports": [PORT]})
    assert found["python"].command == (".venv/bin/gunicorn", "-b", ":$$PORT", "app")
    assert not found["python"].missing


def test_the_overlay_mentions_every_service_and_is_what_the_model_accepts(tmp_path: Path) -> None:
    entries = {
        "web": {"dockerfile": "FROM a\nCMD x: [y] 3000", "ports": [PORT]},
        "on": {"dockerfile": "FROM a\nCMD sh"},
        "mail": {"image": "axllent/mailpit"},
        "db": {"image": "postgres:16"},
    }
    found = classify(tmp_path, **entries)
    described = [answers.answered(each, ANSWERS) for each in found.values()]
    text = files.overlay(described, ["compose.yaml", "compose.override.yaml"])
    (tmp_path / composefiles.OVERLAY).write_text(text, encoding="utf-8")
    assert files.lacking(tmp_path / composefiles.OVERLAY, described) == []
    assert [each.name for each in files.lacking(tmp_path / "none", described)] == list(found)
    laid = yaml.safe_load(text)["services"]
    assert set(laid) == {"web", "on", "db"}  # Compose refuses a service that is null
    assert laid["web"]["x-health"] == "/ok"
    merged = {name: {**entry, **laid.get(name, {})} for name, entry in entries.items()}
    stack = loading.of(tmp_path, {"name": "shop", "services": merged}, "compose.yaml, compose.stackhand.yaml")
    assert {name: each.kind for name, each in stack.services.items()} == {each.name: each.kind for each in described}


@pytest.mark.parametrize(
    ("name", "on_aws"),
    [
        ("shop", "shop"),
        ("My_Shop.io", "my-shop-io"),
        ("a-very-long-name", "a-very-long"),
        ("3d", "app-d"),
        ("aws", "app-aws"),
        ("7", "app"),
    ],
)
def test_the_name_on_aws_is_one_that_aws_accepts(name: str, on_aws: str) -> None:
    assert answers.stack_name(name) == on_aws


@pytest.mark.parametrize(
    ("path", "content", "command"),
    [
        ("manage.py", "", "python manage.py migrate"),
        ("alembic.ini", "", "alembic upgrade head"),
        ("package.json", '{"scripts": {"db:migrate": "x", "start": "y"}}', "npm run db:migrate"),
        ("package.json", '{"scripts": {"start": "y"}}', ""),
        ("package.json", "no JSON", ""),
        ("bin/rails", "", "bin/rails db:migrate"),
    ],
)
def test_a_framework_is_known_by_its_files(tmp_path: Path, path: str, content: str, command: str) -> None:
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(content, encoding="utf-8")
    assert classification.migration(tmp_path) == command


@pytest.mark.parametrize("before", [None, "", "node_modules\n", "node_modules", "a\n\n# mine\n"])
def test_the_lines_of_gitignore_come_and_go_without_a_trace(tmp_path: Path, before: str | None) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    path = tmp_path / ".gitignore"
    if before is not None:
        path.write_text(before, encoding="utf-8")
    assert repository.ignore(tmp_path) == ".stackhand/, .env"
    assert repository.ignore(tmp_path) == ""
    (tmp_path / ".env").write_text("SECRET=mine", encoding="utf-8")
    assert repository.unignore(tmp_path)  # what has secrets stays ignored
    assert path.read_text(encoding="utf-8").endswith("# Stackhand\n.env\n")
    (tmp_path / ".env").unlink()
    assert not repository.unignore(tmp_path)
    assert (path.read_text(encoding="utf-8") if path.exists() else None) == (before or None)


def test_what_git_ignores_already_is_not_added(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text(".e*\n", encoding="utf-8")
    assert repository.ignore(tmp_path) == ".stackhand/"


def test_what_is_committed_is_not_added(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DEBUG=1\n", encoding="utf-8")
    for words in (["init", "--quiet"], ["add", ".env"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert repository.ignore(tmp_path) == ".stackhand/"
    assert not repository.unignore(tmp_path)
    assert not (tmp_path / ".gitignore").exists()


def test_compose_files_of_folders_are_found_with_and_without_git(tmp_path: Path) -> None:
    for name in ("deploy/compose.yaml", "a/b/docker-compose.yml", "build/compose.yaml", "deploy/compose.override.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert repository.compose_files(tmp_path) == ["a/b/docker-compose.yml", "build/compose.yaml", "deploy/compose.yaml"]
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("build/\n", encoding="utf-8")
    assert repository.compose_files(tmp_path) == ["a/b/docker-compose.yml", "deploy/compose.yaml"]


def test_a_lock_keeps_answers_packages_and_what_was_generated(tmp_path: Path) -> None:
    own = "stackhand==0.2.0 \\\n    --hash=sha256:1\n"
    text = pin.text(own, "# by uv\ninvoke==3.0.0 \\\n    --hash=sha256:2\n", ANSWERS, {"inv": "a" * 64})
    assert pin.answers(text) == ANSWERS
    assert pin.recorded(text) == {"inv": "a" * 64}
    assert (pin.own(text), pin.pinned(text)) == (own, "0.2.0")
    assert pin.text(text, "", ANSWERS, {"inv": "a" * 64}) == text
    assert pin.answers("") is None


def test_a_file_that_is_there_stays_and_an_edited_one_is_known(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs", encoding="utf-8")
    written = files.write(tmp_path, [File("theirs", "ours"), File("a/ours", "ours", executable=True)])
    assert (written.created, written.unchanged) == (["a/ours"], ["theirs"])
    assert (tmp_path / "theirs").read_text(encoding="utf-8") == "theirs"
    assert (tmp_path / "a/ours").stat().st_mode & 0o111
    records = {"a/ours": pin.digest("ours"), "gone": "x"}
    states = {path: pin.state(tmp_path, path, records) for path in ("a/ours", "theirs", "gone")}
    assert states == {"a/ours": "unedited", "theirs": "foreign", "gone": "absent"}
    (tmp_path / "a/ours").write_text("edited", encoding="utf-8")
    assert pin.state(tmp_path, "a/ours", records) == "edited"
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match=r"file/x cannot be written"):
        files.replace(tmp_path, File("file/x", ""))


class At:
    """A step of a version that does nothing."""

    def __init__(self, version: str) -> None:
        self.version = version

    def run(self, _root: Path, *, check: bool) -> list[str]:
        return [self.version] if check else []


@pytest.mark.parametrize(
    ("before", "after", "versions"),
    [
        ("0.2.0", "0.3.0", ["0.3.0"]),
        ("0.1.0", "0.3.0", ["0.2.0", "0.3.0"]),
        ("0.2.0", "0.2.5", []),
        ("", "0.2.0", ["0.2.0"]),
        ("0.1.9", "0.2.0.dev4+g1", ["0.2.0"]),
        ("0.2.0.dev4+g1", "0.2.0", []),
    ],
)
def test_an_upgrade_runs_the_steps_between_two_versions(before: str, after: str, versions: list[str]) -> None:
    every = [At("0.3.0"), At("0.2.0"), At("1.0.0")]
    assert [each.version for each in renewal.between(before, after, every)] == versions


def test_the_variables_of_environments_move_once(tmp_path: Path) -> None:
    old = tmp_path / "terraform" / "environments"
    old.mkdir(parents=True)
    (old / "staging.tfvars").write_text("x", encoding="utf-8")
    step = renewal.MoveEnvironments()
    told = ["terraform/environments/staging.tfvars is now environments/staging.tfvars"]
    assert step.run(tmp_path, check=True) == told
    assert (old / "staging.tfvars").exists()
    assert step.run(tmp_path, check=False) == told
    assert (tmp_path / "environments" / "staging.tfvars").read_text(encoding="utf-8") == "x"
    assert step.run(tmp_path, check=False) == []


def test_the_workflow_uses_the_actions_that_ours_does() -> None:
    import re

    from tests.checkout import ROOT

    def actions(path: Path) -> set[str]:
        return set(re.findall(r"uses: (\S+)", path.read_text(encoding="utf-8")))

    assert actions(files.TEMPLATES / "workflow.yml") <= actions(ROOT / ".github" / "workflows" / "deploy.yml")
