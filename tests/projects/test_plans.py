"""What each application would be on AWS, planned by Terraform with the installed package; none of them runs.

Express is planned and released by tests/rehearsal/test_project.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import boto3
import pytest

from tests import moto_server
from tests.projects.application import Application, application
from tests.terraform.conftest import terraform  # noqa: F401 - a fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
VARIABLES, OVERLAY = "environments/staging.tfvars", "compose.stackhand.yaml"
OWN = """
- name: Theirs
  hosts: local
  gather_facts: false
  tasks:
    - name: Leave a trace
      ansible.builtin.file:
        path: "{{ lookup('env', 'STACKHAND_PROJECT') }}/theirs"
        state: touch
        mode: "0644"
"""


@pytest.fixture(scope="module")
def aws(terraform: str) -> Iterator[dict[str, str]]:  # noqa: F811
    """The variables of a shell that is logged in to an AWS that keeps a state and knows who we are."""
    with moto_server.serving() as address:
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "STACKHAND_TERRAFORM": terraform,
        }


@dataclass(frozen=True)
class Planned:
    """What is expected of the plan of an application.

    Args:
        services: that are on ECS.
        more: addresses of other resources.
        folder: where its Compose file lies.
        refused: what a first plan says is missing.
        edits: what is then added to files of the project.
    """

    services: set[str]
    more: set[str] = field(default_factory=set)
    folder: str = "."
    refused: str = ""
    edits: dict[str, tuple[str, str]] = field(default_factory=dict)


PLANS = {
    "django": Planned(
        {"web", "worker"},
        {
            'aws_iam_role.job_execution["migrate"]',
            'aws_db_instance.main["db"]',
            'aws_elasticache_replication_group.main["redis"]',
        },
        refused="services.migrate.env_file, services.web.env_file, services.worker.env_file: .env of this machine",
        edits={VARIABLES: ("", 'settings = { DEBUG = "0", WEB_PORT = "8000" }\n')},
    ),
    "flask": Planned({"app"}),
    "go": Planned(
        {"short"},
        {"aws_sqs_queue.theirs", "aws_sqs_queue.edited"},
    ),
    "monorepo": Planned(
        {"web", "api"},
        folder="deploy",
        refused="services.web: a service with x-aws.paths needs x-health, which the load balancer checks",
        edits={OVERLAY: ("    # x-health: /health #", "    x-health: / #")},
    ),
}


def _bootstrap(app: Application, aws: dict[str, str]) -> None:
    """Have the bucket that `./inv bootstrap` makes, without the seconds that it takes."""
    stack = re.search(r'^stack *= "(.*?)"', (app.root / VARIABLES).read_text(encoding="utf-8"), re.MULTILINE)
    assert stack
    boto3.client(
        "s3",
        region_name="eu-west-1",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    ).create_bucket(
        Bucket=f"{stack[1]}-staging-123456789012-eu-west-1",
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
    )


@pytest.mark.parametrize("name", PLANS)
def test_an_application_is_planned_once_it_has_what_the_plan_asks_for(name: str, aws: dict[str, str]) -> None:
    wanted = PLANS[name]
    with application(name, wanted.folder) as app:
        app.stackhand("init", "--yes")
        if wanted.refused:
            assert wanted.refused in app.stackhand("plan", "-e", "staging", check=False, shell=aws).err
        for path, (before, after) in wanted.edits.items():
            text = (app.root / path).read_text(encoding="utf-8")
            assert before in text
            (app.root / path).write_text(text.replace(before, after) if before else text + after, encoding="utf-8")
        if name == "go":
            _have_own_parts(app)
        _bootstrap(app, aws)
        plan = app.stackhand("plan", "-e", "staging", "--json", shell=aws).json["plan"]
        assert (plan["changed"], plan["change"], plan["replace"], plan["destroy"]) == (True, 0, 0, 0)
        addresses = {each["address"] for concern in plan["concerns"] for each in concern["resources"]}
        services = {each for each in addresses if each.startswith("aws_ecs_service.main[")}
        assert services == {f'aws_ecs_service.main["{each}"]' for each in wanted.services}
        assert wanted.more <= addresses
        assert (app.root / "theirs").exists() == (name == "go")
        content = app.environment.glob("lib/python3*/site-packages/ansible_collections/stackhand/ops/terraform/*")
        assert not [each for each in content if each.name in {".terraform", "queue.tf", "more.tf"}]  # of nobody else


def _have_own_parts(app: Application) -> None:
    """Eject Terraform and the playbooks and change both, and have a file of Terraform beside them."""
    app.stackhand("eject", "terraform")
    app.stackhand("eject", "playbooks")
    (app.root / "terraform").mkdir()
    (app.root / "terraform" / "queue.tf").write_text('resource "aws_sqs_queue" "theirs" {}\n', encoding="utf-8")
    (app.root / "ops" / "terraform" / "more.tf").write_text('resource "aws_sqs_queue" "edited" {}\n', encoding="utf-8")
    with (app.root / "ops" / "playbooks" / "plan.yml").open("a", encoding="utf-8") as playbook:
        playbook.write(OWN)
