"""What a workflow of ours may do, beyond what zizmor looks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

RUNNERS = {"ubuntu-24.04": "X86_64", "ubuntu-24.04-arm": "ARM64", "macos-15": "ARM64"}
TRIGGERS = {"push", "pull_request", "schedule", "workflow_dispatch"}
OWNERS = {"actions", "aws-actions", "hashicorp"}
RIGHTS = {"contents": "read", "id-token": "write", "attestations": "write"}
NOT_FORKS = "github.event.pull_request.head.repo.full_name == github.repository"
PIN = re.compile(r"([\w-]+)/[\w-]+@[0-9a-f]{40}")
VERSION = re.compile(r" # v\d+\.\d+\.\d+")


def refusals(text: str) -> set[str]:
    """Return the names of the rules that a workflow breaks."""
    found = yaml.safe_load(text)
    on, jobs = found[True], found["jobs"]  # YAML reads `on` as a truth
    return {rule for rule, broken in _whole(text, found, on) if broken} | {
        rule for job in jobs.values() for rule, broken in [*_job(job, on), *_steps(job)] if broken
    }


def _whole(text: str, found: dict[str, Any], on: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    yield "triggers", not set(on) <= TRIGGERS
    yield "branches", "push" in on and on["push"] not in ({"branches": ["main"]}, {"tags": ["v*"]})
    yield "permissions", found.get("permissions") != {"contents": "read"}
    uses = re.findall(r"uses: (\S+)(.*)", text)
    pins = [(PIN.fullmatch(action), VERSION.fullmatch(comment)) for action, comment in uses]
    yield "pins", not all(pin and version and pin[1] in OWNERS for pin, version in pins)
    yield "time", not all(job.get("timeout-minutes", 999) <= 150 for job in found["jobs"].values())


def _job(job: dict[str, Any], on: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    rights, condition = job.get("permissions", {}), str(job.get("if", ""))
    cloud = "id-token" in rights
    publishes = any("uv publish" in str(each.get("run")) for each in job.get("steps", []))
    yield "permissions", not rights.items() <= RIGHTS.items()
    yield (
        "permissions",
        cloud
        != (publishes or any("configure-aws-credentials" in each.get("uses", "") for each in job.get("steps", []))),
    )
    runners = job.get("strategy", {}).get("matrix", {}).get("runner", [job.get("runs-on")])
    yield "runners", not set(runners) <= RUNNERS.keys() or job.get("runs-on") not in {*runners, "${{ matrix.runner }}"}
    yield "images", "container" in job or "services" in job
    yield "forks", cloud and "environment" not in job and ("pull_request" in on) and NOT_FORKS not in condition
    yield "gate", "vars.AWS_DEPLOY_ROLE" in str(job) and "environment" not in job
    yield "gate", publishes and job.get("environment") != "release"
    by_hand = "workflow_dispatch" in condition
    yield "branches", cloud and by_hand and "github.ref == 'refs/heads/main'" not in condition


def _steps(job: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    steps = job.get("steps", [])
    releases = "id-token" in job.get("permissions", {})
    for step in steps:
        uses, given, run = str(step.get("uses", "")), step.get("with", {}), str(step.get("run", ""))
        yield "checkout", uses.startswith("actions/checkout@") and given.get("persist-credentials") is not False
        yield "checkout", uses.startswith("actions/checkout@") and bool({"ref", "repository"} & set(given))
        yield "restored", releases and ("cache" in uses or "cache" in str(given) or "download-artifact" in uses)
        yield "unpinned", releases and "uv build" in run and "--require-hashes --build-constraints" not in run
        artifact = str(given.get("path", ""))
        yield "artifacts", "upload-artifact" in uses and not re.fullmatch(r"\.stackhand/screenshots/", artifact)
        # GitHub pastes an expression into the script, and takes what is written there for variables of all later steps.
        yield "injection", "${{" in run.replace("${{ env.", "").replace("${{ matrix.", "")
        yield "injection", bool(re.search(r"GITHUB_(ENV|PATH|OUTPUT)", run))
        for name in re.findall(r'-e "?\w+=\$(\w+)', run):  # which Ansible evaluates
            one_of_ours = any(f'case "${name}" in' in str(each.get("run")) for each in steps)
            yield "ansible", not one_of_ours and "matrix." not in step.get("env", {})[name]
