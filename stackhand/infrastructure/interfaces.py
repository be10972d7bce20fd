"""How many network interfaces the tasks take at most, and whether the private subnets have addresses for them.

A task on Fargate has one interface with one address:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html
"""

from __future__ import annotations

import math
from ipaddress import ip_network
from typing import Any

import msgspec

from stackhand.infrastructure.documents import TerraformPlan
from stackhand.project.environments import Environment
from stackhand.project.stack.model import Stack
from stackhand.project.stack.xaws import Fargate, Job

QUOTA = 5000
"""Interfaces in a region, unless AWS has raised it: https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html"""
KEPT = 5
"""Addresses of each subnet that AWS keeps for itself."""
ROLLOUT = 2
"""Times its most, the tasks of a service while a rollout replaces them: terraform/ecs.tf says 200 percent."""
ENDPOINTS = 6
"""Interfaces of the endpoints in each private subnet, with nat = "none", about."""
CIDR, ZONES = "10.20.0.0/16", 2
"""The defaults of terraform/variables.tf."""
SUBNET_BITS = 4
"""By which a private subnet is smaller than the network: terraform/network.tf."""


class InterfaceUse(msgspec.Struct, frozen=True):
    """What tasks take, and what there is.

    Args:
        tasks: at most at once: each service at its upper bound twice, as in a rollout, and each job once.
        subnets: the private ones.
        addresses: that the smallest of them has for tasks; None where only AWS knows.
        free: whether that is what is free at this moment, with what runs already taken off.
    """

    tasks: int
    subnets: int
    addresses: int | None
    free: bool = False

    @property
    def each(self) -> int:
        """How many tasks a subnet has: ECS spreads them evenly."""
        return math.ceil(self.tasks / self.subnets)

    @property
    def short(self) -> bool:
        """Whether that is more than there is."""
        return self.tasks > QUOTA or (self.addresses is not None and self.each > self.addresses)

    def message(self) -> str:
        """Return it as a sentence."""
        known = "a plan asks AWS" if self.addresses is None else str(self.addresses)
        free = " free" if self.free else ""
        return (
            f"tasks take up to {self.tasks} network interfaces during a rollout, {self.each} in each of {self.subnets} "
            f"private subnets; addresses{free}: {known}; the quota of a region: {QUOTA}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as the `interfaces` of docs/output.md."""
        return {**msgspec.to_builtins(self), "each": self.each, "quota": QUOTA, "short": self.short}


def of(stack: Stack, environment: Environment, planned: TerraformPlan | None = None) -> InterfaceUse:
    """Return what the services of an environment take at most; a plan has asked for existing subnets."""
    services = [each.aws for each in stack.services.values()]
    tasks = sum(ROLLOUT * aws.scale.max for aws in services if isinstance(aws, Fargate))
    tasks += sum(isinstance(aws, Job) for aws in services)
    variables = environment.variables
    if variables.get("vpc_id"):
        free = _free(planned) if planned else []
        subnets = len((variables.get("subnets") or {}).get("private") or ()) or 1
        return InterfaceUse(tasks, subnets, min(free) if free else None, free=bool(free))
    network = ip_network(str(variables.get("vpc_cidr") or CIDR), strict=False)
    addresses = 2 ** (network.max_prefixlen - network.prefixlen - SUBNET_BITS) - KEPT
    endpoints = ENDPOINTS if variables.get("nat") == "none" else 0
    return InterfaceUse(tasks, int(variables.get("zones") or ZONES), addresses - endpoints)


def _free(planned: TerraformPlan) -> list[int]:
    """Return how many addresses each existing private subnet has left."""
    return [
        int(each.values.get("available_ip_address_count") or 0)
        for each in planned.prior_state.values.root_module.resources
        if each.type == "aws_subnet" and each.mode == "data" and str(each.index).startswith("private ")
    ]
