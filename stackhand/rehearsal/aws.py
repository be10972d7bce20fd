"""ministack, and what decides a rollout at AWS and it lacks: the load balancer's health checks, and a task's limits.

It runs in the emulator's own environment, not in ours: `hypercorn stackhand.rehearsal.aws:app`. Made for ministack
1.5.33 (docs/decisions/023-truer-emulator.md). Two of them may use one container engine, so the names of containers get
the port, which no other one has.
"""

from __future__ import annotations

from docker.models.containers import ContainerCollection
from ministack.app import app
from ministack.services import alb, ecs

from stackhand.rehearsal import health, limits

__all__ = ["app"]

alb.set_targets_for_group = health.set_targets
alb._ACTION_MAP["DescribeTargetHealth"] = health.describe
ecs._record_service_task_healthy = health.record_task
ecs._cleanup_task_resources = health.clean_up
ecs._stop_task = health.stop_task
ecs._build_run_kwargs = limits.run_arguments
ContainerCollection.create, ContainerCollection.get = limits.create, limits.get
