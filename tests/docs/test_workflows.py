"""The workflows call what is there, with pinned actions and no more rights than they need."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from stackhand.adoption import files
from tests.checkout import ROOT
from tests.docs import workflow_rules
from tests.docs.attacks import ATTACKS
from tests.docs.workflow_rules import RUNNERS

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEPLOY = (ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(DEPLOY)["jobs"]
CI: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
RELEASING = ("staging", "production", "by-hand")


def test_deploy_runs_playbooks_that_are_there_with_variables_they_know() -> None:
    playbooks = set(re.findall(r"ansible-playbook (playbooks/\w+\.yml)", DEPLOY))
    assert playbooks == {"playbooks/plan.yml", "playbooks/deploy.yml", "playbooks/rollback.yml"}
    assert all((ROOT / path).exists() for path in playbooks)
    assert set(re.findall(r'-e "?(\w+)=', DEPLOY)) <= {
        f"stackhand_{name}" for name in ("environment", "lock_wait", "refresh")
    }


def zizmor(folder: Path) -> dict[str, set[str]]:
    """Return what zizmor finds in the workflows of a checkout, by the names of their files."""
    words = [str(Path(sys.executable).with_name("zizmor")), "--offline", "--quiet", "--format", "json", str(folder)]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    found: dict[str, set[str]] = defaultdict(set)
    for entry in json.loads(said):
        for place in entry["locations"]:
            found[Path(place["symbolic"]["key"]["Local"]["verbatim_path"]).name].add(entry["ident"])
    return found


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """All that is found in each attack, by its name."""
    folder = tmp_path_factory.mktemp("attacked") / ".github" / "workflows"
    folder.mkdir(parents=True)
    found: dict[str, set[str]] = {}
    for number, (name, (file, there, instead, _)) in enumerate(ATTACKS.items()):
        text = (ROOT / ".github" / "workflows" / file).read_text(encoding="utf-8")
        assert there in text, name
        changed = text.replace(there, instead, 1)
        (folder / f"{number}.yml").write_text(changed, encoding="utf-8")
        found[name] = workflow_rules.refusals(changed)
    theirs = zizmor(folder.parent.parent)
    return {name: rules | theirs[f"{number}.yml"] for number, (name, rules) in enumerate(found.items())}


@pytest.mark.xdist_group("attacked-workflows")
@pytest.mark.parametrize("name", ATTACKS)
def test_a_way_into_a_workflow_is_refused(attacked: dict[str, set[str]], name: str) -> None:
    assert ATTACKS[name][3] in attacked[name]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_workflow_has_one(path: Path) -> None:
    assert workflow_rules.refusals(path.read_text(encoding="utf-8")) == set()


def test_what_changes_an_environment_is_never_cancelled_and_waits_for_its_gate() -> None:
    for name, job in JOBS.items():
        if name != "plan":
            assert job["environment"]
            assert job["concurrency"]["cancel-in-progress"] is False
    assert JOBS["production"]["needs"] == "staging"
    assert JOBS["staging"]["concurrency"]["group"] == "release-staging"
    assert JOBS["production"]["concurrency"]["group"] == "release-production"


def test_a_rollback_is_not_dropped_for_the_next_release_but_waits_for_the_lease() -> None:
    """GitHub cancels a job that waits when another of its group comes."""
    kind = "${{ inputs.act == 'rollback' && 'rollback' || 'release' }}"
    assert JOBS["by-hand"]["concurrency"]["group"] == kind + "-${{ inputs.environment }}"
    for name in RELEASING:
        for step in JOBS[name]["steps"]:
            run = step.get("run", "")
            assert ("-e stackhand_lock_wait=1800" in run) == ("ansible-playbook" in run)


@pytest.mark.parametrize("environment", ["staging", "production", "rehearsal"])
def test_images_are_built_on_the_processor_that_they_run_on(environment: str) -> None:
    """Docker builds for another one only with an emulator, which the runners do not have."""
    said = [
        re.search(rf'^{begin}architecture"?[^"]*"(\w+)"', (ROOT / file).read_text(encoding="utf-8"), re.M)
        for begin, file in (("", f"environments/{environment}.tfvars"), ('variable "', "terraform/variables.tf"))
    ]
    architecture = next(each[1] for each in said if each)
    jobs = [CI["test"]] if environment == "rehearsal" else [JOBS[name] for name in (environment, "by-hand")]
    assert {RUNNERS[job["runs-on"]] for job in jobs} == {architecture}


@pytest.mark.parametrize("path", [ROOT / ".github/workflows/deploy.yml", files.TEMPLATES / "workflow.yml"])
def test_credentials_of_a_release_last_as_long_as_its_role_allows(path: Path) -> None:
    """Without a word AWS gives an hour, and a migration may take two."""
    allowed = re.search(r"max_session_duration = (\d+)", (ROOT / "terraform/github.tf").read_text(encoding="utf-8"))
    text = re.sub(r"@(\w+)@", r"\1", path.read_text(encoding="utf-8"))
    jobs = [each for each in yaml.safe_load(text)["jobs"].values() if "vars.AWS_DEPLOY_ROLE" in str(each)]
    assert jobs
    for job in jobs:
        given = next(each["with"] for each in job["steps"] if "configure-aws" in each.get("uses", ""))
        assert allowed
        assert given["role-duration-seconds"] == int(allowed[1])
        assert job["timeout-minutes"] * 60 > int(allowed[1])


def test_the_parts_of_ci_are_everything() -> None:
    parts = [each["only"] for each in CI["test"]["strategy"]["matrix"]["include"]]
    for compose in (True, False):
        for terraform in (True, False):
            for rehearsal in (True, False):
                names = {"compose": compose, "terraform": terraform, "rehearsal": rehearsal}
                assert sum(bool(eval(part, {}, names)) for part in parts) == 1
