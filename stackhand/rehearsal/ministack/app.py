"""ministack, and what it lacks of AWS: health checks, a task's limits, the data in a snapshot, and what AWS refuses.

It runs in the emulator's own environment, not in ours: `hypercorn stackhand.rehearsal.ministack.app:app`. Made for
ministack 1.5.33 (docs/decisions/023-truer-emulator.md). Two of them may use one container engine, so the names of
containers get the port, which no other one has.
"""

from __future__ import annotations

import os
from importlib import resources

from docker.models.containers import ContainerCollection
from ministack.app import app as ministack
from ministack.core import router
from ministack.services import alb, ec2, ecr, ecs, elasticache, iam, rds, ssm

from stackhand.rehearsal.ministack import balancer, containers, database_snapshots, encryption, refusals
from stackhand.rehearsal.ministack.balancer import public
from stackhand.rehearsal.ministack.guard import Guard, Throttle

__all__ = ["app"]

# To know which services AWS has, it would read all 400 models of botocore at the first request for one that it lacks,
# and answer nobody for 20 seconds of computing.
router._KNOWN_AWS_SERVICE_NAMES = frozenset(each.name for each in (resources.files("botocore") / "data").iterdir())
alb.set_targets_for_group = balancer.set_targets
alb._ACTION_MAP["DescribeTargetHealth"] = balancer.describe
ecs._record_service_task_healthy = balancer.record_task
ecs._cleanup_task_resources = balancer.clean_up
ecs._stop_task = balancer.stop_task
ecs._maybe_mark_stopped = containers.mark_stopped
ecs._build_run_kwargs = containers.run_arguments
ecs._resolve_repository_credentials = containers.credentials
ecr._get_authorization_token = containers.token
ContainerCollection.create, ContainerCollection.get = containers.create, containers.get
for _action in ("RegisterImage", "RunInstances"):  # an instance would be a container without a task's limits
    del ec2._ACTION_MAP[_action]

ecs._ACTION_MAP["UpdateService"] = refusals.update_service
ecs._ACTION_MAP["CreateService"] = refusals.create_service
ecs._ACTION_MAP["RunTask"] = refusals.run_task
iam._IAM_HANDLERS["CreateRole"] = refusals.create_role
ecs._ACTION_MAP["ExecuteCommand"] = refusals.execute_command
ssm._put_parameter = refusals.put_parameter
alb._ACTION_MAP["DeleteTargetGroup"] = refusals.delete_target_group
rds._reported_endpoint = encryption.endpoint
rds._create_snapshot_internal = database_snapshots.note
rds._wait_for_database_ready = database_snapshots.wait
rds._ACTION_MAP["CreateDBInstance"] = database_snapshots.create
rds._ACTION_MAP["DeleteDBInstance"] = database_snapshots.delete
rds._ACTION_MAP["RestoreDBInstanceFromDBSnapshot"] = database_snapshots.restore
for _service in (alb._ACTION_MAP, iam._IAM_HANDLERS, rds._ACTION_MAP):
    for _name in refusals.LETTERS.keys() & _service.keys():
        _service[_name] = refusals.short(_name, _service[_name])
_create = elasticache._create_replication_group
elasticache._create_replication_group = refusals.short("CreateReplicationGroup", _create)
elasticache._create_param_group = refusals.short("CreateCacheParameterGroup", elasticache._create_param_group)

_NAMES = ("127.0.0.1", "localhost", "host.docker.internal", os.environ["REHEARSAL_GATEWAY"])
_HOSTS = [f"{name}:{os.environ['GATEWAY_PORT']}" for name in _NAMES]
app = Guard(Throttle(ministack, seed=1), public, os.environ["REHEARSAL_KEY"], _HOSTS)
