"""What only a real account would refuse, looked for without one (docs/decisions/077-oracles.md)."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.oracles import cloudformation, environment, oracles, requests, seeded, state
from tests.oracles.environment import Mutation
from tests.oracles.problem import Problem
from tests.terraform.conftest import Module
from tests.terraform.plans import Plan

pytestmark = [pytest.mark.timeout(400)]
KINDS = {"web", "api", "worker", "nightly", "migrate"}


@pytest.fixture(scope="module")
def copy(terraform: str, variables: dict[str, str]) -> Iterator[Path]:
    """A copy of terraform/, initialised."""
    with tempfile.TemporaryDirectory(prefix="sh-") as folder:
        yield environment.copy(Path(folder).resolve(), terraform, variables)


@pytest.fixture(scope="module")
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
@pytest.mark.parametrize("profile", ["single", "existing"])
def test_no_oracle_finds_anything_in_services_of_each_kind(
    copy: Path, terraform: str, variables: dict[str, str], profile: str
) -> None:
    """In a network of its own with NAT, and in an existing one, which has no `nat`; without NAT is the test below."""
    if terraform == "terraform" and profile == "existing":
        return  # the genuine provider would look for that network
    made = environment.apply(copy, terraform, variables, profile)
    assert {*made.outputs["release"]["services"], *made.outputs["release"]["jobs"]} == KINDS
    assert not made.of("aws_ecr_repository")
    assert bool(made.of("aws_vpc")) == (profile == "single")
    assert cloudformation.unmapped(made.resources) == set()
    assert [str(each) for each in oracles.problems(made, copy)] == []


@pytest.mark.xdist_group("terraform-oracles")
def test_the_longest_names_pass_and_each_seeded_mistake_is_noticed(
    copy: Path, terraform: str, variables: dict[str, str]
) -> None:
    """Both need the same copy: a worker, images that are not built, no NAT, the longest names and region."""
    made = environment.apply(copy, terraform, variables, "small")
    assert cloudformation.unmapped(made.resources) == set()
    assert [str(each) for each in oracles.problems(made, copy)] == []
    mistaken = shutil.copytree(copy, copy.with_name("mistaken"), ignore=shutil.ignore_patterns("*.tfstate.backup"))
    (mistaken / "small.tfstate").unlink()
    try:
        verdicts = seeded.together(environment.mutations(), mistaken, terraform, variables, "small")
    except environment.Refused:
        assert terraform == "terraform"  # whose provider refuses the first of them by itself
        return
    assert [each.mutation for each in verdicts if not each.found] == []
    assert len(verdicts) >= 50


def test_a_mistake_counts_as_noticed_only_by_what_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is made where nothing has been applied: Terraform leaves out what it ignores from then on."""
    folder = tmp_path / "terraform"
    folder.mkdir()
    (folder / "small.tfstate").write_text("{}")
    (folder / "ecs.tf").write_text("port = 1")

    def problems(place: Path, *_: object) -> set[Problem]:
        if "port = 1" in (place / "ecs.tf").read_text():
            return {Problem("a", "was there before", "x")}
        assert not (place / "small.tfstate").exists()
        return {Problem("a", "was there before", "x"), Problem("b", "other", "x"), Problem("c", "no port 2", "x")}

    monkeypatch.setattr(seeded, "_problems", problems)
    made = [Mutation("ecs.tf", "port = 1", "port = 2", "", shows) for shows in ("port 2", "port 3", "before")]
    found = [*seeded.one_by_one(made, folder, "", {})]
    assert [(each.found, len(each.others)) for each in found] == [("x: c: no port 2", 1), ("", 2), ("", 2)]


def test_what_boto3_sends_and_aws_refuses_is_refused() -> None:
    definition = {"family": "a b", "containerDefinitions": [{"name": "api", "image": "x", "cpus": 1}], "netMode": "x"}
    assert any("cpus" in each for each in requests.problems("ecs", "RegisterTaskDefinition", definition))
    kind = {"cluster": "x", "tasks": ["y"], "include": ["TAG"]}
    assert [*requests.problems("ecs", "DescribeTasks", kind)] == ["DescribeTasks.include[0] is none of TAGS: TAG"]
