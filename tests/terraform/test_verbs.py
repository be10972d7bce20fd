"""bootstrap, plan and destroy against an AWS that keeps the state; what stops them, and in which words."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stackhand.cli.failure import Failure
from stackhand.infrastructure.services import compose
from tests.checkout import eventually
from tests.terraform.conftest import BUCKET, Cloud

pytestmark = [pytest.mark.xdist_group("terraform-verbs"), pytest.mark.timeout(400)]
APPLY = """
- name: Apply
  hosts: local
  gather_facts: false
  vars:
    stackhand_environment: staging
    stackhand_lock_wait: 30
  tasks:
    - name: Check
      infrastructure_check:
    - name: Plan
      infrastructure_plan:
        cost: false
    - name: Apply
      infrastructure_apply:
    - name: Show the release
      ansible.builtin.copy:
        content: "{{ stackhand_target | to_json }}"
        dest: release.json
        mode: "0644"
"""
LOCK = {
    "ID": "6a1c",
    "Operation": "OperationTypeApply",
    "Info": "",
    "Who": "ada@build-7",
    "Version": "1.11.4",
    "Created": "2026-01-02T03:04:05.678901Z",
    "Path": f"{BUCKET}/terraform.tfstate",
}
WEB = '{paths: ["/*"]}'
"""The x-aws of web."""


@contextmanager
def refused_by_the_cloud(cloud: Cloud) -> Iterator[None]:
    """Have a key in the Compose file that no plan takes, which must keep no environment from being removed."""
    file = cloud.checkout.path / "docker-compose.yml"
    before = file.read_text(encoding="utf-8")
    file.write_text(before.replace(WEB, '{paths: ["/*"], cpu: 300}'), encoding="utf-8")
    with pytest.raises(Failure, match="for the cloud"):
        compose.check(cloud.checkout.path)
    yield
    file.write_text(before, encoding="utf-8")


def test_an_environment_is_bootstrapped_planned_applied_and_destroyed(cloud: Cloud) -> None:
    before = cloud.inv("plan", "-e", "staging", check=False)
    assert (before.code, "./inv bootstrap -e staging" in before.err) == (3, True), before.err

    made = cloud.inv("bootstrap", "-e", "staging")
    assert "✓ bucket" in made.out
    assert BUCKET in made.out
    assert "= bucket" in cloud.inv("bootstrap", "-e", "staging").out
    assert cloud.s3().get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"

    first = cloud.inv("plan", "-e", "staging", "--json", "--detailed-exitcode", check=False)
    assert first.code == 20, first.err
    plan = first.json["plan"]
    assert (plan["changed"], plan["change"], plan["replace"], plan["destroy"]) == (True, 0, 0, 0)
    assert plan["create"] == sum(len(each["resources"]) for each in plan["concerns"]) > 100
    assert {"network", "database", "alarms", "security groups"} <= {each["name"] for each in plan["concerns"]}
    assert first.json["cost"]["month"] > 50
    assert [each["path"] for each in first.json["probe"]["asked"]] == ["/health/all", "/healthz", "/version"]
    assert {each["key"] for each in first.json["compose"]} >= {"volumes", "security_opt", "restart"}
    assert (
        "volumes of ./service (api), ./service (migrate), ./web (web): not mounted; the image has only what"
        in first.err
    )

    (cloud.checkout.path / "playbooks" / "apply.yml").write_text(APPLY, encoding="utf-8")
    applied = cloud.play("apply")
    assert applied.code == 0, applied.out + applied.err
    assert "applied" in applied.out
    assert applied.out.count("Creation complete") < 20
    assert re.search(r"  · .*security groups \d+, ", applied.out), applied.out
    release = json.loads((cloud.checkout.path / "playbooks" / "release.json").read_text(encoding="utf-8"))
    assert (release["environment"], release["account"], sorted(release["services"])) == (
        "staging",
        "123456789012",
        ["api", "web"],
    )
    again = cloud.inv("plan", "-e", "staging", "--detailed-exitcode", check=False)
    assert "staging is up to date." in again.out
    assert "probed after the rollout: /health/all (api) for 200, /healthz (web)" in again.out
    assert (again.code, "over nothing:" in again.out) == (20, True), again.out  # for nothing was released to it yet

    kept = json.dumps({"id": "1", "environment": "staging", "commit": "c0ffee", "by": "ann", "began": ""}).encode()
    for key in ("current.json", "releases/1.json", "restore.json"):
        cloud.s3().put_object(Bucket=BUCKET, Key=key, Body=kept)
    lease = {
        "token": "x",
        "owner": "bob",
        "commit": "c0ffee",
        "since": "",
        "beat": "",
        "expires": "2999-01-01T00:00:00Z",
    }
    cloud.s3().put_object(Bucket=BUCKET, Key="lease.json", Body=json.dumps(lease).encode())
    busy = cloud.inv("destroy", "-e", "staging", "--yes", check=False)
    assert (busy.code, "held by bob, deploying c0ffee" in busy.err) == (14, True), busy.err
    cloud.s3().delete_object(Bucket=BUCKET, Key="lease.json")

    with refused_by_the_cloud(cloud):
        gone = cloud.inv("destroy", "-e", "staging", "--yes")
    assert "  database: stackhand-staging-postgres" in gone.out
    assert "  images: stackhand-staging/api" in gone.out
    assert f"  bucket {BUCKET}, with the state's history" in gone.out
    again = re.search(
        r"snapshot (stackhand-staging-postgres-final-\d{8}-\d{6}): ./inv deploy -e staging (.*)$", gone.out, re.M
    )
    assert again is not None, gone.out
    assert again[2].startswith(f"--from-snapshot {again[1]} ")
    state = json.loads(cloud.s3().get_object(Bucket=BUCKET, Key="terraform.tfstate")["Body"].read())
    assert state["resources"] == []
    left = [each["Key"] for each in cloud.s3().list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert "releases/1.json" in left
    assert not {"current.json", "lease.json", "restore.json"} & set(left)


def test_the_name_of_a_release_is_never_evaluated(cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may press "Run workflow" would have the deploy role for whatever they like."""
    cloud.bootstrap()
    name = f"{{{{ lookup('pipe', 'touch {folder}/evaluated') }}}}"
    by_hand = cloud.inv("rollback", "-e", "staging", "--to", name, "--yes", check=False)
    monkeypatch.setenv("STACKHAND_RELEASE", name)  # as .github/workflows/deploy.yml gives it
    by_workflow = cloud.play("rollback", stackhand_environment="staging")
    for said in (by_hand, by_workflow):
        assert f"There is no release {name!r}." in said.out + said.err
    assert not (folder / "evaluated").exists()


def test_nothing_is_destroyed_before_its_name_is_typed(cloud: Cloud, folder: Path) -> None:
    cloud.bootstrap()
    database = {"address": "x", "mode": "managed", "type": "aws_db_instance", "values": {"identifier": "orders"}}
    shown = json.dumps({"values": {"root_module": {"resources": [database]}}})
    said = f"""#!/bin/sh
case $1 in
version) echo '{{"terraform_version": "1.11.4"}}' ;;
init) ;;
show) echo '{shown}' ;;
*) touch {folder}/more ;;
esac
"""
    (folder / "terraform").write_text(said)
    (folder / "terraform").chmod(0o755)
    with refused_by_the_cloud(cloud):
        refused = cloud.inv("destroy", "-e", "staging", check=False, STACKHAND_TERRAFORM=str(folder / "terraform"))
    assert (refused.code, refused.out) == (2, "  database: orders\n")
    assert "All 1 are removed with everything else of staging." in refused.err
    assert not (folder / "more").exists()


def test_production_is_destroyed_only_by_saying_so(cloud: Cloud) -> None:
    said = cloud.inv("destroy", "-e", "production", "--yes", check=False)
    assert (said.code, said.err.splitlines()[0].strip(" ✗")) == (2, "This is production.")


@pytest.mark.parametrize(
    ("verb", "environment", "words"),
    [
        ("plan", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, ["127.0.0.1:9 cannot be reached.", "AWS_ENDPOINT_URL"]),
        (  # whose actions meet it as they are loaded
            "deploy",
            {"AWS_PROFILE": "nobody", "AWS_CONFIG_FILE": "/dev/null"},
            ["There is no AWS profile nobody on this machine.", "aws configure sso --profile nobody"],
        ),
    ],
    ids=["no-network", "no-such-profile"],
)
def test_what_is_missing_is_said_before_terraform_starts(
    cloud: Cloud, verb: str, environment: dict[str, str], words: list[str]
) -> None:
    confirmed = ["--yes"] if verb == "deploy" else []
    said = cloud.inv(verb, "-e", "staging", *confirmed, check=False, **environment)
    assert said.code == 3, said.out + said.err
    assert all(word in said.err for word in words), said.err
    assert "Traceback" not in said.out + said.err


def test_another_account_is_refused(cloud: Cloud) -> None:
    said = cloud.inv("plan", "-e", "rehearsal", check=False)
    assert said.code == 3
    assert "You are logged in to account 123456789012, but rehearsal belongs to 000000000000." in said.err


def test_who_holds_the_state_is_told(cloud: Cloud) -> None:
    cloud.bootstrap()
    key = "terraform.tfstate.tflock"
    cloud.s3().put_object(Bucket=BUCKET, Key=key, Body=json.dumps(LOCK).encode())
    try:
        said = cloud.inv("plan", "-e", "staging", check=False)
    finally:
        cloud.s3().delete_object(Bucket=BUCKET, Key=key)
    assert said.code == 14, said.out + said.err
    assert "The state of staging is locked by ada@build-7, since 2026-01-02T03:04:05" in said.err.replace(" 03", "T03")
    assert "for: Apply" in said.err


def test_invalid_x_aws_is_reported_before_terraform_starts(cloud: Cloud, folder: Path) -> None:
    marker = folder / "terraform"
    marker.write_text(f"#!/bin/sh\ntouch {folder}/started\n")
    marker.chmod(0o755)
    other = '{paths: ["/*"], memory: 500}'
    cloud.checkout.edit("docker-compose.yml", WEB, other)
    try:
        said = cloud.inv("plan", "-e", "staging", check=False, STACKHAND_TERRAFORM=str(marker))
    finally:
        cloud.checkout.edit("docker-compose.yml", other, WEB)
    assert said.code == 3
    assert "services.web.x-aws.memory must be 512 to 2048 in steps of 512 with 256 CPU units, not 500" in said.err
    assert not (folder / "started").exists()


def test_what_terraform_refuses_is_told_with_its_place(cloud: Cloud) -> None:
    cloud.bootstrap()
    file = "environments/staging.tfvars"
    cloud.checkout.edit(file, 'nat         = "single"', 'nat         = "double"')
    try:
        said = cloud.inv("plan", "-e", "staging", check=False)
    finally:
        cloud.checkout.edit(file, 'nat         = "double"', 'nat         = "single"')
    assert said.code == 1
    assert "staging could not be planned." in said.err
    assert "nat is single, per_az, regional or none." in said.err
    assert ".stackhand/logs/terraform-staging.log" in said.err


def test_an_interrupt_lets_terraform_finish_what_it_has_begun(cloud: Cloud, folder: Path) -> None:
    cloud.bootstrap()
    program = folder / "terraform"
    program.write_text(
        f"""#!/bin/sh
trap 'touch {folder}/freed; exit 1' INT
case $1 in
version) echo '{{"terraform_version": "1.11.4"}}' ;;
plan) echo "$*" >{folder}/words; touch {folder}/begun; while :; do sleep 0.1; done ;;
esac
"""
    )
    program.chmod(0o755)
    words = ["plan", "-e", "staging", "--lock-wait", "120"]
    child = cloud.checkout.start(*words, **{**cloud.environment, "STACKHAND_TERRAFORM": str(program)})
    eventually((folder / "begun").exists, "Terraform plans")
    assert "-lock-timeout=120s" in (folder / "words").read_text(encoding="utf-8")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    eventually((folder / "freed").exists, "Terraform is interrupted")
    assert child.returncode == 130, err
    assert "Traceback" not in err


TERRAFORM = """#!/bin/sh
echo "$*" >>{folder}/said
case $1 in
version) echo '{{"terraform_version": "1.11.4"}}' ;;
plan) exit 2 ;;
show) if grep -q "state rm" {folder}/said; then cat {folder}/after; else cat {folder}/before; fi ;;
esac
"""


def test_a_deploy_stops_for_a_missing_secret_and_forgets_what_it_made_in_place_of_another(
    cloud: Cloud, folder: Path
) -> None:
    cloud.bootstrap()
    key, mail = "/stackhand/staging/STRIPE_KEY", "/stackhand/staging/MAIL_URL"
    address = 'aws_ssm_parameter.other["STRIPE_KEY"]'
    delete = {"actions": ["delete"], "before": {"name": key}, "after": None}
    made = {"address": address, "mode": "managed", "type": "aws_ssm_parameter", "name": "other", "change": delete}
    outputs = {"planned_values": {"outputs": {"given_secrets": {"value": {"STRIPE_KEY": key, "MAIL_URL": mail}}}}}
    (folder / "before").write_text(json.dumps({**outputs, "resource_changes": [made]}))
    (folder / "after").write_text(json.dumps({**outputs, "resource_changes": []}))
    (folder / "terraform").write_text(TERRAFORM.format(folder=folder))
    (folder / "terraform").chmod(0o755)
    (cloud.checkout.path / "playbooks" / "apply.yml").write_text(APPLY, encoding="utf-8")
    cloud.client("ssm").put_parameter(Name=key, Value="sk_live_1", Type="SecureString")

    environment = {**cloud.environment, "STACKHAND_TERRAFORM": str(folder / "terraform")}
    stopped = replace(cloud, environment=environment).play("apply")
    assert f"{address}: now given; the value stays" in stopped.out
    assert "alarms have no recipient: alarm_email in environments/staging.tfvars is empty" in stopped.out
    assert "staging has no value for MAIL_URL, which only you can provide." in stopped.out
    assert "./inv secrets.set -e staging MAIL_URL" in stopped.out
    lines = (folder / "said").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["version", "init", "plan", "show", "state", "plan", "show"]
    assert lines[4] == f"state rm -lock-timeout=30s {address}"
    assert all("-lock-timeout=30s" in line for line in lines if line.startswith("plan"))
    found = cloud.client("ssm").get_parameter(Name=key, WithDecryption=True)["Parameter"]
    assert (found["Value"], found["Version"]) == ("sk_live_1", 1)
