"""What is said of a plan, of destructive changes, and of Terraform's own errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stackhand.ansible import playbook
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.reporter import Reporter
from stackhand.infrastructure import cost, plan, plan_warnings
from stackhand.infrastructure.documents import Diagnostic, Resource, TerraformPlan
from stackhand.infrastructure.plan import concerns_of, numbers, rows, summary
from stackhand.infrastructure.terraform import process
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.project.stack.probes import ProbeReport
from stackhand.release import plan as release_plan
from stackhand.release import verbs
from tests.checkout import ROOT

STAGING = Environment("staging", "shop", "eu-west-1", "123456789012")
LOG = ROOT / ".stackhand" / "logs" / "terraform-staging.log"


def change(address: str, *actions: str, **values: Any) -> dict[str, Any]:
    kind, _, name = address.partition(".")
    return {
        "address": address,
        "mode": "managed",
        "type": kind,
        "name": name.partition("[")[0],
        "change": {"actions": list(actions), "before": {"a": 1, "b": 1}, "after": {"a": 1, "b": 2}, **values},
    }


def plan_of(**document: Any) -> TerraformPlan:
    return msgspec.convert(document, TerraformPlan)


CHANGES = [
    change("aws_lb.main", "no-op"),
    change('aws_lb_listener_rule.path["/docs"]', "create", before=None),
    change('aws_lb_target_group.service["web"]', "update", after_unknown={"a": True}),
    change('aws_db_instance.main["postgres"]', "delete", "create"),
    change("aws_old.one", "delete", after=None),
    {**change("data.aws_region.here", "read"), "mode": "data"},
]
PLAN = plan_of(
    resource_changes=CHANGES,
    output_changes={"url": {"actions": ["no-op"]}, "release": {"actions": ["update"]}},
)


@pytest.mark.parametrize(("installed", "what"), [(False, "Terraform cannot be started."), (True, "Terraform is 1.9.8")])
def test_a_terraform_that_is_missing_or_too_old_is_told_with_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, installed: bool, what: str
) -> None:
    program = folder / "terraform"
    if installed:
        program.write_text("""#!/bin/sh\necho '{"terraform_version": "1.9.8"}'\n""")
        program.chmod(0o755)
    monkeypatch.setenv("STACKHAND_TERRAFORM", str(program))
    with pytest.raises(Failure) as caught:
        Terraform(STAGING).version()
    assert caught.value.code == ExitCode.PREFLIGHT
    assert caught.value.what.startswith(what)
    assert "install Terraform 1.11 or newer" in caught.value.next


def test_a_plan_is_summed_up_by_the_files_its_resources_stand_in(tmp_path: Path) -> None:
    (tmp_path / "load_balancer.tf").write_text(
        'resource "aws_lb_listener_rule" "path" {}\nresource "aws_lb_target_group" "service" {}\n'
    )
    (tmp_path / "database.tf").write_text('resource "aws_db_instance" "main" {}\n')
    found = summary(PLAN, concerns_of(tmp_path))
    assert rows(found) == [
        ("load balancer", "1", "1", "", ""),
        ("database", "", "", "1", ""),
        ("no longer in the files", "", "", "", "1"),
    ]
    assert found.summary()[:2] == ["load balancer: 1 to create, 1 to change", "database: 1 to replace"]
    assert msgspec.to_builtins(found.document()) == {
        "changed": True,
        "create": 1,
        "change": 1,
        "replace": 1,
        "destroy": 1,
        "outputs": ["release"],
        "concerns": [
            {
                "name": "load balancer",
                "resources": [
                    {"address": 'aws_lb_listener_rule.path["/docs"]', "action": "create", "attributes": []},
                    {"address": 'aws_lb_target_group.service["web"]', "action": "change", "attributes": ["a", "b"]},
                ],
            },
            {
                "name": "database",
                "resources": [
                    {"address": 'aws_db_instance.main["postgres"]', "action": "replace", "attributes": ["b"]}
                ],
            },
            {
                "name": "no longer in the files",
                "resources": [{"address": "aws_old.one", "action": "destroy", "attributes": []}],
            },
        ],
    }


def test_a_service_that_is_removed_or_renamed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environments.EMULATOR, "http://127.0.0.1:1")  # where nothing else is warned of
    gone, new = (
        change("aws_ecs_service.main", "delete", after=None),
        change("aws_ecs_service.main", "create", before=None),
    )
    changes = [{**gone, "index": "api"}, {**new, "index": "backend"}]
    [warned] = plan_warnings.warnings(STAGING, plan_of(resource_changes=changes), refreshed=False)
    assert warned.startswith("api is no longer in the Compose files: no new request reaches it")
    assert warned.endswith("if it was renamed, backend is another service to AWS")


def test_all_but_creations_are_named_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    found = summary(PLAN, {"aws_db_instance.main": "database"}, forgotten=["aws_old.one"])
    release, probe = release_plan.ReleasePlan("c0ffee", None, changed=True), ProbeReport("nothing", [], [])
    table = [list(each) for each in rows(found)]
    cost = release_plan.ShownCost("about $1")
    report = release_plan.PlanReport("staging", found.document(), release, probe, table, cost)
    release_plan._show_infrastructure(report)
    out = capsys.readouterr().out
    assert 'replace  aws_db_instance.main["postgres"]: b' in out
    assert "create   aws" not in out
    assert out.endswith("staging: 1 to create, 1 to change, 1 to replace, 1 to forget; about $1\n")


def test_a_plan_that_deletes_the_database_is_not_applied_in_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = summary(PLAN, {}).document()
    with pytest.raises(Failure) as caught:
        plan.refuse_loss("staging", found)
    assert caught.value.evidence == ('database: aws_db_instance.main["postgres"] (replace)',)
    assert caught.value.next.endswith(
        " .venv/bin/ansible-playbook playbooks/deploy.yml -e stackhand_environment=staging"
    )
    monkeypatch.setattr(playbook, "IS_CHECKOUT", False)
    assert playbook.by_hand("up") == "ANSIBLE_CONFIG=ansible.cfg .venv/bin/ansible-playbook stackhand.ops.up"
    plan.refuse_loss("staging", summary(plan_of(resource_changes=CHANGES[:3]), {}).document())


def test_a_database_that_is_replaced_on_purpose_is_no_loss() -> None:
    found = summary(PLAN, {}).document()
    plan.refuse_loss("staging", found, allowed=['aws_db_instance.main["postgres"]'])
    with pytest.raises(Failure):
        plan.refuse_loss("staging", found, allowed=['aws_db_instance.main["orders"]'])


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        (["arn:key/of-the-account", "arn:key/1"], "arn:key/1"),
        (["alias/shop-staging"], "arn:key/1"),
        (["1"], "arn:key/1"),
        (["arn:key/of-the-account", "alias/aws/ssm", ""], ""),
        ([], ""),
    ],
)
def test_the_key_stays_that_what_outlives_the_environment_needs(keys: list[str], kept: str) -> None:
    key = Resource(address="a", type="aws_kms_key", values={"arn": "arn:key/1", "key_id": "1"})
    alias = Resource(address="b", type="aws_kms_alias", values={"name": "alias/shop-staging"})
    assert plan.key_that_stays([key, alias], keys) == kept
    assert plan.key_that_stays([], keys) == ""


def test_what_stays_of_an_environment_is_said() -> None:
    stays = verbs._stays(STAGING, plan.DestroyReport(["shop-staging-postgres-final-1"], "arn:key/1"))
    assert stays[1].endswith("./inv deploy -e staging --from-snapshot shop-staging-postgres-final-1 starts from it")
    assert "key arn:key/1: kept, because a snapshot or given secret is encrypted with it" in stays[-1]
    assert verbs._stays(STAGING, plan.DestroyReport()) == [stays[0]]
    [*_, line] = verbs._stays(STAGING, plan.DestroyReport(clusters={"db": "shop-staging-db-final-1"}))
    assert line == (
        'cluster snapshot shop-staging-db-final-1: snapshot_identifiers = { db = "shop-staging-db-final-1" } in '
        "environments/staging.tfvars starts from it"
    )


def test_what_we_know_no_price_of_is_said() -> None:
    database = {"instance_class": "db.r8g.24xlarge", "allocated_storage": 20, "multi_az": False}
    found = {"address": "a", "type": "aws_db_instance", "index": "orders", "values": database}
    money = cost.estimate(plan_of(planned_values={"root_module": {"resources": [found]}}))
    assert money.unknown == ["orders on db.r8g.24xlarge"]
    assert money.summary().endswith("; without orders on db.r8g.24xlarge)")


def test_what_is_watched_costs_and_prices_differ_by_engine_and_name_their_source() -> None:
    def resource(kind: str, index: str | None = None, **values: Any) -> dict[str, Any]:
        return {"address": kind, "type": kind, "index": index, "values": values}

    def cost_of(*resources: dict[str, Any]) -> dict[str, cost.CostLine]:
        plan = plan_of(planned_values={"root_module": {"resources": list(resources)}})
        return {line.name: line for line in cost.estimate(plan).lines}

    found = cost_of(
        resource("aws_ecs_cluster", setting=[{"name": "containerInsights", "value": "enabled"}]),
        *(resource("aws_ecs_service", name, capacity_provider_strategy=[]) for name in ("api", "web")),
        *(resource("aws_iam_role", name) for name in ("api", "web", "migrate")),
        resource("aws_flow_log"),
        resource("aws_cloudwatch_log_metric_filter", "api"),
        resource("aws_nat_gateway"),
    )
    assert found["Container Insights"].number == 73
    assert {"flow logs", "custom metrics"} <= found.keys()
    assert {name for name, line in found.items() if not line.estimated} == {"NAT gateways"}
    assert (found["NAT gateways"].source, found["NAT gateways"].read) == ("zacfukuda.com", "2026-06-01")
    valkey, redis = (
        cost_of(resource("aws_elasticache_replication_group", "cache", engine=engine, node_type="cache.t4g.micro"))
        for engine in ("valkey", "redis")
    )
    one, other = valkey["cache on cache.t4g.micro"].month, redis["cache on cache.t4g.micro"].month
    assert one is not None
    assert other is not None
    assert one == pytest.approx(0.8 * other)

    zones = [resource("aws_subnet") for _ in range(6)]  # of three tiers in two zones
    regional = cost_of(resource("aws_nat_gateway", "regional", availability_mode="regional"), *zones)
    assert regional["NAT gateways"].month == pytest.approx(2 * 0.045 * 730)
    assert regional["public addresses"].number == 2

    def cluster(least: float) -> cost.CostLine:
        scaling = [{"min_capacity": least, "max_capacity": 4}]
        parts = [resource("aws_rds_cluster_instance", f"db-{number}") for number in (1, 2)]
        whole = resource("aws_rds_cluster", "db", serverlessv2_scaling_configuration=scaling)
        return next(iter(cost_of(whole, *parts, resource("aws_rds_cluster_instance", "db-2-1")).values()))

    steady, pausing = cluster(1), cluster(0)
    assert (steady.number, steady.month, steady.estimated) == (2, pytest.approx(2 * 0.12 * 730 + 1), False)
    assert (pausing.month, pausing.estimated) == (pytest.approx(0.12 * 730 + 1), True)
    assert "while anybody is connected" in pausing.name
    [views] = cost_of(resource("aws_elasticache_serverless_cache", "views")).values()
    assert (views.month, views.read) == (pytest.approx(6.13, abs=0.01), "2026-06")


def test_a_plan_says_what_waits_for_the_maintenance_window(monkeypatch: pytest.MonkeyPatch) -> None:
    window = {"maintenance_window": "sun:03:30-sun:04:30"}
    before = {**window, "instance_class": "db.t4g.micro", "backup_retention_period": 7}
    after = {**before, "instance_class": "db.t4g.small", "backup_retention_period": 9}
    node = {"node_type": "cache.t4g.micro"}, {"node_type": "cache.t4g.small"}

    def planned(later: dict[str, Any]) -> TerraformPlan:
        change = {"actions": ["update"], "before": before, "after": later}
        cache = {"actions": ["update"], "before": node[0], "after": node[1]}
        resource = {
            "address": "x",
            "type": "aws_db_instance",
            "index": "db",
            "values": {"identifier": "shop-staging-db"},
        }
        return plan_of(
            resource_changes=[
                {"address": "x", "index": "db", "type": "aws_db_instance", "change": change},
                {"address": "y", "index": "cache", "type": "aws_elasticache_replication_group", "change": cache},
            ],
            planned_values={"root_module": {"resources": [resource]}},
        )

    waits, at_once = plan_warnings.changes(STAGING, planned(after))
    assert waits.startswith("db: instance_class changes in its maintenance window (sun:03:30-sun:04:30 UTC), not")
    assert at_once == "cache: node_type changes with the deploy, and its connections drop"
    now = next(plan_warnings.changes(STAGING, planned({**after, "apply_immediately": True})))
    assert now == "db: instance_class changes with the deploy, and restarts it (apply_immediately)"
    found = {"PendingModifiedValues": {"DBInstanceClass": "x"}, "PreferredMaintenanceWindow": "sun:03:30-sun:04:30"}
    monkeypatch.setattr(plan_warnings.rds, "find_database", lambda _environment, _name: found)
    assert [*plan_warnings.pending(STAGING, planned(after))] == [
        "db: DBInstanceClass of an earlier deploy waits for its maintenance window (sun:03:30-sun:04:30 UTC)"
    ]
    pending = [*plan_warnings.pending(STAGING, planned(after))]
    for refreshed, more in ((True, pending), (False, [])):  # AWS is asked only of a plan that was compared with it
        assert [waits, at_once, *more] == [
            each
            for each in plan_warnings.warnings(STAGING, planned(after), refreshed=refreshed)
            if "alarms" not in each
        ]


LOCKED = """Error message: operation error S3: PutObject, StatusCode: 412
Lock Info:
  ID:        6a1c
  Path:      bucket/terraform.tfstate
  Operation: OperationTypeApply
  Who:       ada@build-7
  Version:   1.11.4
  Created:   2026-01-02 03:04:05.678901 +0000 UTC
"""


@pytest.mark.parametrize(
    ("summary", "detail", "what", "code"),
    [
        (
            "Error acquiring the state lock",
            LOCKED,
            "The state of staging is locked by ada@build-7, since 2026-01-02 03:04:05 UTC.",
            ExitCode.LOCKED,
        ),
        ("No valid credential sources found", "", "AWS does not recognise your credentials.", ExitCode.PREFLIGHT),
        (
            "configuring Terraform AWS Provider",
            "failed to refresh cached credentials, refresh cached SSO token failed, unable to refresh SSO token",
            "AWS does not recognise your credentials.",
            ExitCode.PREFLIGHT,
        ),
        (
            "Retrieving AWS account details",
            "api error SignatureDoesNotMatch: Signature expired: 20260131T120000Z is now earlier than 20260131T123500Z",
            "This machine's clock differs from AWS's.",
            ExitCode.PREFLIGHT,
        ),
        (
            "Failed to query available provider packages",
            "",
            "Terraform could not get its providers.",
            ExitCode.PREFLIGHT,
        ),
        (
            "Failed to query available provider packages",
            "could not connect to registry: tls: failed to verify certificate: x509: certificate",
            "Terraform does not trust a certificate; a network that re-signs TLS causes this.",
            ExitCode.PREFLIGHT,
        ),
        (
            "creating ECS Cluster",
            "AccessDeniedException: no",
            "AWS denies a permission that staging needs.",
            ExitCode.PREFLIGHT,
        ),
        ("creating VPC", "VpcLimitExceeded", "staging could not be applied.", ExitCode.FAILED),
    ],
    ids=["locked", "nobody", "session-over", "clock", "no-providers", "certificate", "not-allowed", "anything-else"],
)
def test_an_error_of_terraform_is_one_paragraph(summary: str, detail: str, what: str, code: ExitCode) -> None:
    said = [Diagnostic(summary, detail, "aws_vpc.main")]
    found = process.failure(STAGING, "could not be applied", said, LOG)
    assert (found.what, found.code) == (what, code)
    assert found.next
    if code != ExitCode.LOCKED:
        assert found.evidence[0] == f"aws_vpc.main: {summary}"


def test_an_apply_is_counted_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(sys.stdout)
    counted: list[str] = []
    terraform = Terraform(STAGING, count=counted.append)
    terraform._planned = 2
    for kind, text in (("progress", "a: Still creating..."), ("complete", "a: Creation complete [id=1]")):
        event = {"type": f"apply_{kind}", "hook": {"action": "create"}, "@message": text}
        terraform._follow(json.dumps(event))
    assert counted == ["0 of 2 done; a: Still creating...", "1 of 2 done; a: Creation complete"]
    for text in counted * 50:
        reporter.count(text)
    assert capsys.readouterr().out.splitlines() == ["  \u00b7 0 of 2 done; a: Still creating..."]


def test_what_was_done_is_summed_up_in_a_line() -> None:
    assert numbers({"network": 3, "alarms": 9, "cache": 3}) == ["alarms 9, cache 3, network 3"]
    assert numbers({}) == []


@pytest.mark.parametrize("printed", ["", "null", "[]", "{", '{"release": 1}', '{"values": 1}'])
def test_what_no_terraform_prints_ends_in_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, printed: str
) -> None:
    program = tmp_path / "terraform"
    program.write_text(f"#!/bin/sh\necho '{printed}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("STACKHAND_TERRAFORM", str(program))
    asked = Terraform.state if "values" in printed else Terraform.outputs
    with pytest.raises(Failure, match="does not print what is expected of it") as found:
        asked(Terraform(STAGING))
    assert found.value.next.startswith(f"{program} version shows")


@pytest.mark.parametrize(
    ("service", "longest", "name"),
    [
        ("plausible_db", 63, "acme-billing-preproductio-plausible-db"),
        ("recommendation_of_shop-cache", 40, "acme-billing-preproductio-recomme-3bba38"),
        ("recommendation_of_shop-cachf", 40, "acme-billing-preproductio-recomme-7b2f46"),
    ],
)
def test_a_database_and_a_cache_have_the_names_that_terraform_gives_them(service: str, longest: int, name: str) -> None:
    # terraform/tests/longest.tftest.hcl has the second of them.
    assert Environment("preproductio", "acme-billing", "eu-west-1", "1").resource(service, longest) == name
