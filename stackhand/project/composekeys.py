"""What each target makes of each key of a Compose service: the support matrix, as data.

A target is a mapping of keys, and a key that is missing there is one that Compose did not have when this was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How much of a key a target carries."""

    SAME = "same"
    DIFFERS = "differs"
    IGNORED = "ignored"
    REFUSED = "refused"


class Support(NamedTuple):
    """What a target makes of a key.

    Args:
        level: how much of it.
        message: how it differs, what one loses, or why it is refused; empty where it is the same.
    """

    level: Level
    message: str = ""


def _differs(message: str) -> Support:
    return Support(Level.DIFFERS, message)


def _ignored(message: str) -> Support:
    return Support(Level.IGNORED, message)


def _refused(message: str) -> Support:
    return Support(Level.REFUSED, message)


SAME = Support(Level.SAME)
_SIZE = _differs("x-aws.cpu and x-aws.memory say how large a task is")
_ECS_STARTS = _differs("ECS starts as many tasks as x-aws.scale says, and a new one for each that stops")
_SCHEDULER = _ignored("Fargate has no such limit")
_NAMESPACE = _ignored("a task on Fargate has namespaces of its own")
_HOSTS = _ignored("a task on Fargate resolves names through its network alone")
_HERE = _differs("is for this machine")
_NO_DEVICES = _ignored("Fargate gives a task no devices")
_NO_LINKS = _ignored("services find each other by the addresses in their environment only")
_NEWER = _ignored("ECS has nothing like it")

UNKNOWN = _ignored("this version of Stackhand does not know it")

AWS: Mapping[str, Support] = {
    "annotations": _NEWER,
    "attach": _HERE,
    "blkio_config": _SCHEDULER,
    "build": SAME,
    "cap_add": SAME,  # as far as Fargate has them: infrastructure/compose.py
    "cap_drop": SAME,
    "cgroup": _NAMESPACE,
    "cgroup_parent": _NAMESPACE,
    "command": SAME,
    "configs": _ignored("its files are not there; COPY them into the image"),
    "container_name": _HERE,
    "cpu_count": _SIZE,
    "cpu_percent": _SIZE,
    "cpu_period": _SIZE,
    "cpu_quota": _SIZE,
    "cpu_rt_period": _SIZE,
    "cpu_rt_runtime": _SIZE,
    "cpu_shares": _SIZE,
    "cpus": _SIZE,
    "cpuset": _SIZE,
    "credential_spec": _NEWER,
    "depends_on": _differs("all services start together; each has to wait for what it needs"),
    "deploy": _differs("x-aws says how many tasks run and how large they are; ECS replaces them step by step"),
    "develop": _HERE,
    "device_cgroup_rules": _NO_DEVICES,
    "devices": _NO_DEVICES,
    "dns": _HOSTS,
    "dns_opt": _HOSTS,
    "dns_search": _HOSTS,
    "domainname": _HOSTS,
    "driver_opts": _NEWER,
    "entrypoint": SAME,
    "env_file": _ignored("none of its variables is set; write those that AWS needs under environment"),
    "environment": SAME,
    "expose": SAME,
    "extends": _refused("Terraform reads docker-compose.yml alone, so the service has to be written out there"),
    "external_links": _NO_LINKS,
    "extra_hosts": _HOSTS,
    "gpus": _NO_DEVICES,
    "group_add": _ignored("a container has the groups of its image and of user alone"),
    "healthcheck": SAME,
    "hostname": _HOSTS,
    "image": SAME,
    "init": SAME,
    "ipc": _NAMESPACE,
    "isolation": _NEWER,
    "label_file": _ignored("its labels are not set; write them under labels"),
    "labels": SAME,
    "links": _NO_LINKS,
    "logging": _differs("CloudWatch Logs has what a service writes"),
    "mac_address": _NAMESPACE,
    "mem_limit": _SIZE,
    "mem_reservation": _SIZE,
    "mem_swappiness": _SCHEDULER,
    "memswap_limit": _SCHEDULER,
    "models": _ignored("no model is started, and its variables are not set"),
    "network_mode": _NAMESPACE,
    "networks": _differs("a task is in the private subnets, and security groups say who may talk to whom"),
    "oom_kill_disable": _SCHEDULER,
    "oom_score_adj": _SCHEDULER,
    "pid": _NAMESPACE,
    "pids_limit": _SCHEDULER,
    "platform": _differs("the architecture of the environment decides"),
    "ports": _differs("x-aws.port is the one port of a service, and x-aws.paths what leads to it from outside"),
    "post_start": _ignored("its commands are not run"),
    "pre_stop": _ignored("its commands are not run"),
    "privileged": _ignored("Fargate runs nothing privileged"),
    "profiles": _differs("a service with x-aws runs, whatever its profiles are"),
    "provider": _refused("AWS runs containers, and this service is none"),
    "pull_policy": _HERE,
    "pull_refresh_after": _HERE,
    "read_only": SAME,
    "restart": _ECS_STARTS,
    "runtime": _NEWER,
    "scale": _ECS_STARTS,
    "secrets": _ignored("nothing is at /run/secrets; a secret of .env under environment becomes an SSM parameter"),
    "security_opt": _ignored("Fargate takes no such options"),
    "shm_size": _ignored("Fargate decides how large shared memory is"),
    "stdin_open": _ignored("a task has no terminal"),
    "stop_grace_period": SAME,  # up to what Fargate allows: infrastructure/compose.py
    "stop_signal": _ignored("a task gets the STOPSIGNAL of its image, or SIGTERM"),
    "storage_opt": _NEWER,
    "sysctls": _SCHEDULER,
    "tmpfs": SAME,
    "tty": _ignored("a task has no terminal"),
    "ulimits": SAME,  # nofile alone: infrastructure/compose.py
    "use_api_socket": _NEWER,
    "user": SAME,
    "userns_mode": _NAMESPACE,
    "uts": _NAMESPACE,
    "volumes": _ignored("nothing is mounted"),  # what that means for each: infrastructure/compose.py
    "volumes_from": _ignored("nothing is mounted"),
    "working_dir": SAME,
}
"""What terraform/ and a deploy make of a service that runs on ECS Fargate."""

TARGETS: Mapping[str, Mapping[str, Support]] = {"aws": AWS}
