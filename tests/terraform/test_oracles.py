"""What only a real account would refuse, looked for without one (docs/decisions/077-oracles.md)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.oracles import cloudformation, environment, oracles, requests, seeded, state
from tests.terraform.conftest import Module
from tests.terraform.plans import Plan

pytestmark = [pytest.mark.timeout(400)]


@pytest.fixture
def copy(terraform: str, variables: dict[str, str]) -> Iterator[Path]:
    """A copy of terraform/, initialised."""
    with tempfile.TemporaryDirectory(prefix="sh-") as folder:
        yield environment.copy(Path(folder).resolve(), terraform, variables)


@pytest.fixture
def variables(terraform: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The genuine provider asks an AWS who it is."""
    found: dict[str, str] = request.getfixturevalue("cloud").environment if terraform == "terraform" else {}
    return found


@pytest.mark.xdist_group("terraform-plans")
def test_no_oracle_finds_anything_in_staging(module: Module, applied: Plan) -> None:
    assert applied["root_module"]
    made = state.read(module.path / "terraform.tfstate")
    assert cloudformation.unmapped(made.resources) == set()
    assert [str(each) for each in oracles.problems(made, ROOT / "terraform")] == []


@pytest.mark.xdist_group("terraform-oracles")
def test_the_longest_names_pass_and_each_seeded_mistake_is_noticed(
    copy: Path, terraform: str, variables: dict[str, str]
) -> None:
    """Both need the same copy: a worker, images that are not built, no NAT, the longest names and region."""
    made = environment.apply(copy, terraform, variables, "small")
    assert cloudformation.unmapped(made.resources) == set()
    assert [str(each) for each in oracles.problems(made, copy)] == []
    (copy / "small.tfstate").unlink()
    try:
        verdicts = seeded.together(environment.mutations(), copy, terraform, variables, "small")
    except environment.Refused:
        assert terraform == "terraform"  # whose provider refuses the first of them by itself
        return
    assert [each.mutation for each in verdicts if not each.found] == []
    assert len(verdicts) >= 50


def test_what_boto3_sends_and_aws_refuses_is_refused() -> None:
    definition = {"family": "a b", "containerDefinitions": [{"name": "api", "image": "x", "cpus": 1}], "netMode": "x"}
    assert any("cpus" in each for each in requests.problems("ecs", "RegisterTaskDefinition", definition))
    kind = {"cluster": "x", "tasks": ["y"], "include": ["TAG"]}
    assert [*requests.problems("ecs", "DescribeTasks", kind)] == ["DescribeTasks.include[0] is none of TAGS: TAG"]
