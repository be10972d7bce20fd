"""How many interfaces tasks take at most, and what is said where the subnets are too small for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stackhand.infrastructure import cloud_check, interfaces
from stackhand.infrastructure.documents import TerraformPlan
from stackhand.infrastructure.services import services
from stackhand.project.environments import Environment
from stackhand.project.stack.model import Stack
from tests.checkout import ROOT

FOLDER = ROOT / "terraform" / "tests" / "other"
EXISTING = {"vpc_id": "vpc-0a", "subnets": {"public": [], "private": ["subnet-2a", "subnet-2b"], "data": []}}
TASKS = 2 * (6 + 1 + 3 + 2 + 1) + 2
"""Twice the upper bounds of shop, reports, admin, queue and receipts, and two jobs."""


@pytest.fixture(scope="module")
def stack() -> Stack:
    cloud = services.resolve(FOLDER, {"POSTGRES_USER": "keeper", "SITE": "https://shop.example"})
    return services.stack_of(FOLDER, cloud)


def environment(**variables: Any) -> Environment:
    return Environment("staging", "shop", "eu-west-1", "123456789012", variables)


def test_each_service_counts_twice_and_a_private_subnet_has_its_addresses(stack: Stack) -> None:
    use = interfaces.of(stack, environment())
    assert (use.tasks, use.subnets, use.each, use.addresses, use.short) == (TASKS, 2, TASKS // 2, 4096 - 5, False)
    assert use.message().startswith(f"tasks take up to {TASKS} network interfaces during a rollout, 14 in each of 2 ")
    assert msgspec.convert(use.to_dict(), interfaces.InterfaceUse) == use  # as the verb reads the report
    small = interfaces.of(stack, environment(vpc_cidr="10.20.0.0/19", zones=3, nat="none"))
    assert (small.subnets, small.each, small.addresses) == (3, 10, 512 - 5 - interfaces.ENDPOINTS)


def test_a_plan_knows_what_is_free_in_existing_subnets(stack: Stack) -> None:
    assert interfaces.of(stack, environment(**EXISTING)).addresses is None

    def subnet(index: str, free: int) -> dict[str, Any]:
        values = {"available_ip_address_count": free}
        return {"address": index, "type": "aws_subnet", "mode": "data", "index": index, "values": values}

    read = [subnet("private subnet-2a", 200), subnet("private subnet-2b", 12), subnet("data subnet-3a", 3)]
    plan = {"prior_state": {"values": {"root_module": {"resources": read}}}}
    use = interfaces.of(stack, environment(**EXISTING), msgspec.convert(plan, TerraformPlan))
    assert (use.addresses, use.free, use.short) == (12, True, True)
    assert "addresses free: 12" in use.message()


def test_more_tasks_than_addresses_are_named_before_a_plan(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    recipient = environment(alarm_email="a@example.com")
    assert [*cloud_check._of_operation(stack, recipient)] == []
    monkeypatch.setattr(interfaces, "QUOTA", TASKS - 1)
    [found] = cloud_check._of_operation(stack, recipient)
    assert (found.level, found.subject, found.remedy[:22]) == ("advice", "network", "larger private subnets")
