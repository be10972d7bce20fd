"""What a release would change, told before it does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from stackhand.aws.session import session
from stackhand.infrastructure import account, bucket
from stackhand.release import lease, plan
from stackhand.release.context import Context
from stackhand.release.images import source
from stackhand.release.manifest import KnownMigration
from tests.checkout import ROOT
from tests.cloud.conftest import Cloud
from tests.cloud.test_stages import MIGRATIONS, release

ACTIONS = {"s3:HeadBucket": "s3:ListBucket", "s3:ListObjectsV2": "s3:ListBucket"}
"""What IAM calls otherwise than the API does."""
FREE = {"sts:GetCallerIdentity"}
EXISTING = {"ec2:DescribeSubnets", "ec2:DescribeVpcAttribute", "ec2:DescribeVpcs", "ecr:DescribeRepositories"}
EXISTING |= {"ecr:ListTagsForResource"}
OF_TERRAFORM = {"s3:GetObject", "s3:ListBucket", "ec2:DescribeAvailabilityZones", *EXISTING}
"""What Terraform asks itself: the state, and what versions.tf and existing.tf look up."""


@pytest.fixture
def head(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> str:
    """The commit that is checked out, and released."""
    holder = lease.LeaseClient(cloud.context.store)
    cloud.context.token = holder.take("tester", "commit", "", 0.0, lambda _: None).token
    monkeypatch.setattr(source, "choose", lambda **_: source.Source("first"))
    release(cloud, "first")
    return "first"


def test_what_runs_already_is_no_change(cloud: Cloud, head: str) -> None:
    found = plan.plan(cloud.context, cloud.output, MIGRATIONS)
    assert (found.changed, found.drift, found.migrations) == (False, [], [])
    assert plan.lines(found) == ["first already runs in this form: no changes"]
    assert plan.plan(cloud.context, {}, MIGRATIONS) == found


def test_a_plan_names_each_setting_image_and_migration(cloud: Cloud, head: str, tmp_path: Path) -> None:
    definition = cloud.output["services"]["web"]["task_definition"]
    definition["memory"] = "1024"
    found = plan.plan(cloud.context, cloud.output, [*MIGRATIONS, KnownMigration(900, "900_gone.sql", breaking=True)])
    assert found.changed
    assert plan.lines(found) == [
        "a release of first over first:",
        "web: memory: 512 -> 1024",
        "migration: 900_gone.sql (breaking: no rollback past it)",
    ]


def test_what_a_tool_of_the_users_own_would_migrate_is_not_known(cloud: Cloud, head: str, tmp_path: Path) -> None:
    cloud.output["services"]["web"]["task_definition"]["memory"] = "1024"
    found = plan.plan(cloud.context, cloud.output, None)
    assert (found.changed, found.migrations) == (True, None)
    assert plan.lines(found)[1:] == ["web: memory: 512 -> 1024", plan.UNKNOWN]


def test_an_image_that_is_still_to_be_built_is_a_change(
    cloud: Cloud, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "choose", lambda **_: source.Source("never-pushed"))
    changes = plan.plan(cloud.context, cloud.output, MIGRATIONS).services["api"].changes
    assert len(changes) == 1
    assert changes[0].startswith("containerDefinitions[api].image: ")
    assert changes[0].endswith("-staging/api@(still to be built)")


def test_before_there_is_anything_all_is_a_change(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "choose", lambda **_: source.Source("first"))
    found = plan.plan(cloud.context, {}, MIGRATIONS)
    assert (found.changed, plan.lines(found)) == (True, ["first is the first release"])
    cloud.world.fail("DescribeServices", "ClusterNotFoundException")
    found = plan.plan(cloud.context, cloud.output, MIGRATIONS)
    assert found.services["api"].changes == ["is new"]


def test_the_role_of_a_pull_request_may_ask_what_a_plan_asks_and_no_more(cloud: Cloud, head: str) -> None:
    asked: set[str] = set()
    keys: set[str] = set()

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        name = f"{model.service_model.signing_name}:{model.name}"
        asked.add(ACTIONS.get(name, name))
        keys.update([params["Key"]] if "Key" in params else [])

    events = session().events
    events.register("provide-client-params", note)
    try:
        account.check(cloud.environment)
        bucket.require(cloud.environment)
        plan.plan(Context(cloud.environment, cloud.said.append), cloud.output, MIGRATIONS)
    finally:
        events.unregister("provide-client-params", note)

    text = (ROOT / "terraform" / "github.tf").read_text(encoding="utf-8")
    policy = re.search(r'^data "aws_iam_policy_document" "plan" \{.*?^\}', text, re.DOTALL | re.MULTILINE)
    assert policy is not None
    allowed = set(re.findall(r'"((?:s3|ec2|ecs|ecr):\w+)"', policy[0]))
    assert asked - FREE | OF_TERRAFORM == allowed
    assert keys == {"current.json"}
    assert "/current.json" in policy[0]
