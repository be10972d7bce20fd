"""The workflows call what is there, with pinned actions and no more rights than they need."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checkout import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEPLOY = (ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(DEPLOY)["jobs"]
CI: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
RELEASING = ("staging", "production", "by-hand")
RUNNERS = {"ubuntu-24.04": "X86_64", "ubuntu-24.04-arm": "ARM64"}


def options() -> set[str]:
    specs = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    return {name for spec in specs for name in spec["argument_specs"]["main"]["options"]}


def test_deploy_runs_playbooks_that_are_there_with_variables_they_know() -> None:
    playbooks = set(re.findall(r"ansible-playbook (playbooks/\w+\.yml)", DEPLOY))
    assert playbooks == {"playbooks/plan.yml", "playbooks/deploy.yml", "playbooks/rollback.yml"}
    assert all((ROOT / path).exists() for path in playbooks)
    assert set(re.findall(r'-e "?(\w+)=', DEPLOY)) <= options() | {"stackhand_environment"}


def test_nothing_from_outside_is_written_into_a_command() -> None:
    """GitHub pastes an expression into the script, and Ansible evaluates what it is given with -e."""
    jobs = {
        name: job
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
    }
    for job in jobs.values():
        for step in job["steps"]:
            run, given = str(step.get("run", "")), step.get("env", {})
            assert "${{" not in run.replace("${{ env.", "").replace("${{ matrix.", "")
            for name in re.findall(r'-e "?\w+=\$(\w+)', run):
                fixed = "matrix." in given[name] or any(
                    f'case "${name}" in' in str(each.get("run")) for each in job["steps"]
                )
                assert fixed, name


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
            assert ("-e preflight_lock_wait=1800" in run) == ("ansible-playbook" in run)


@pytest.mark.parametrize("environment", ["staging", "production", "rehearsal"])
def test_images_are_built_on_the_processor_that_they_run_on(environment: str) -> None:
    """Docker builds for another one only with an emulator, which the runners do not have."""
    said = [
        re.search(rf'^{begin}architecture"?[^"]*"(\w+)"', (ROOT / "terraform" / file).read_text(encoding="utf-8"), re.M)
        for begin, file in (("", f"environments/{environment}.tfvars"), ('variable "', "variables.tf"))
    ]
    architecture = next(each[1] for each in said if each)
    jobs = [CI["test"]] if environment == "rehearsal" else [JOBS[name] for name in (environment, "by-hand")]
    assert {RUNNERS[job["runs-on"]] for job in jobs} == {architecture}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_rights_are_given_by_the_job(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    assert found["permissions"] == {"contents": "read"}
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)
    longest = 150 if path.name == "deploy.yml" else 60  # a migration may take two hours
    assert all(job["timeout-minutes"] <= longest for job in found["jobs"].values())


def test_the_parts_of_ci_are_everything() -> None:
    parts = [each["only"] for each in CI["test"]["strategy"]["matrix"]["include"]]
    for compose in (True, False):
        for terraform in (True, False):
            for rehearsal in (True, False):
                names = {"compose": compose, "terraform": terraform, "rehearsal": rehearsal}
                assert sum(bool(eval(part, {}, names)) for part in parts) == 1
