"""What an environment's file names instead of having it made: how it is told, and what is refused."""

from __future__ import annotations

from pathlib import Path

import boto3
import moto
import msgspec
import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure.documents import Effect, Resource, TerraformPlan
from stackhand.infrastructure.plan import Summary
from stackhand.infrastructure.services import existing, services
from stackhand.infrastructure.services.services import CloudServices
from stackhand.infrastructure.snapshots import restore
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.project.stack.model import Stack
from stackhand.project.stack.probes import ProbeReport
from stackhand.release import plan as release_plan
from stackhand.release.images import provenance
from tests.checkout import ROOT

FOLDER = ROOT / "terraform" / "tests" / "other"
GITHUB = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
FILE = """
stack = "shop"
region = "eu-west-1"
account_id = "123456789012"
vpc_id = "vpc-0a"
load_balancer = "shared"
existing_databases = { orders = { cluster = "corp", password = "arn:aws:ssm:eu-west-1:123456789012:parameter/corp" } }
existing_caches = { "sessions" = { serverless = "corp-cache" } }
existing_repositories = { shop = "corp/shop" }
"""


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "staging.tfvars").write_text(FILE, encoding="utf-8")
    return environments.load("staging", tmp_path)


@pytest.fixture(scope="module")
def cloud() -> CloudServices:
    return services.resolve(FOLDER, {"POSTGRES_USER": "keeper", "SITE": "https://shop.example"})


@pytest.fixture(scope="module")
def stack(cloud: CloudServices) -> Stack:
    return services.stack_of(FOLDER, cloud)


def test_a_plan_names_what_is_used_and_not_made(environment: Environment) -> None:
    assert [each.line() for each in existing.of(environment)] == [
        "network vpc-0a",
        "load balancer shared",
        "database corp for orders",
        "cache corp-cache for sessions",
        "repository corp/shop for shop",
    ]


def test_it_is_shown_with_the_plan(environment: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    release, probe = release_plan.ReleasePlan("c0ffee", None, changed=False), ProbeReport("nothing is asked", [], [])
    report = release_plan.PlanReport("staging", Summary([], []).document(), release, probe)
    release_plan.show_plan(msgspec.structs.replace(report, existing=existing.of(environment)[:2]))
    assert "existing, and never changed: network vpc-0a, load balancer shared\n" in capsys.readouterr().out
    release_plan.show_plan(report)
    assert "existing" not in capsys.readouterr().out


def test_passwords_of_what_exists_are_nobodys_to_store(
    environment: Environment, stack: Stack, cloud: CloudServices
) -> None:
    assert existing.passwords(environment, stack, cloud) == {"POSTGRES_PASSWORD", "SESSIONS_PASSWORD"}


def test_a_database_that_exists_has_no_snapshots_here(environment: Environment, stack: Stack) -> None:
    assert restore.databases(stack, environment) == []
    assert restore.databases(stack, Environment("staging", "shop", "eu-west-1", "1")) == ["orders"]


def test_names_of_no_such_service_are_refused_before_a_plan(stack: Stack) -> None:
    given = {
        "existing_databases": {"sessions": {}},
        "existing_caches": {"redis": {}},
        "existing_repositories": {"reports": "x"},
    }
    found = existing.findings(Environment("staging", "shop", "eu-west-1", "1", given), stack)
    assert [(each.message, each.remedy) for each in found] == [
        ("existing_databases has sessions, which is no service with a database of its own", "one of ledger, orders"),
        ("existing_caches has redis, which is no service with a cache of its own", "one of sessions, views"),
        ("existing_repositories has reports, which is no service with a repository of its own", "one of queue, shop"),
    ]


def test_an_image_comes_from_the_repository_that_the_environment_names(
    environment: Environment, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance.compose, "stack_of", lambda _root: stack)
    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    image = provenance._reader(environment, "c0ffee")
    assert image("shop", f"{registry}/corp/shop@sha256:1").expected == f"{registry}/corp/shop"
    assert image("nightly", f"{registry}/corp/shop@sha256:1").expected == f"{registry}/corp/shop"
    assert image("queue", f"{registry}/shop-staging/queue@sha256:1").expected == f"{registry}/shop-staging/queue"


def made(*actions: str) -> TerraformPlan:
    change = Resource(address="a", type=existing.PROVIDER, change=Effect(list(actions)))
    return TerraformPlan(resource_changes=[change])


def test_a_second_identity_provider_for_github_is_refused_before_it_is_made(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "testing")
    with moto.mock_aws():
        monkeypatch.setattr(Environment, "client", lambda _self, name: boto3.client(name, region_name="eu-west-1"))
        existing.refuse_second_provider(environment, made("create"))
        url = "https://token.actions.githubusercontent.com"
        environment.client("iam").create_open_id_connect_provider(Url=url, ClientIDList=["sts.amazonaws.com"])
        existing.refuse_second_provider(environment, made("no-op"))
        with pytest.raises(Failure, match="has GitHub's identity provider already") as caught:
            existing.refuse_second_provider(environment, made("create"))
    assert caught.value.code == ExitCode.PREFLIGHT
    assert f'github_provider_arn = "{GITHUB}"' in caught.value.next
