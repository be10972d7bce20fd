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
_SIZE = _differs("x-aws.cpu and x-aws.memory set the size of a task")
_ECS_STARTS = _differs("x-aws.scale sets the number of tasks, and ECS replaces each that stops")
_SCHEDULER = _ignored("Fargate has no such limit")
_NAMESPACE = _ignored("a task on Fargate has its own namespaces")
_HOSTS = _ignored("a task on Fargate resolves names only through its network")
_HERE = _differs("applies only to this machine")
_NO_DEVICES = _ignored("Fargate gives a task no devices")
_NO_LINKS = _ignored("services find each other only through addresses in their environment")
_NEWER = _ignored("ECS has no equivalent")

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
    "configs": _ignored("its files are missing; COPY them into the image"),
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
    "depends_on": _differs("all services start together; each must wait for its dependencies"),
    "deploy": _differs("x-aws sets the number and size of tasks; ECS replaces them gradually"),
    "develop": _HERE,
    "device_cgroup_rules": _NO_DEVICES,
    "devices": _NO_DEVICES,
    "dns": _HOSTS,
    "dns_opt": _HOSTS,
    "dns_search": _HOSTS,
    "domainname": _HOSTS,
    "driver_opts": _NEWER,
    "entrypoint": SAME,
    "env_file": SAME,
    "environment": SAME,
    "expose": SAME,
    "extends": SAME,
    "external_links": _NO_LINKS,
    "extra_hosts": _HOSTS,
    "gpus": _NO_DEVICES,
    "group_add": _ignored("a container has only the groups of its image and of user"),
    "healthcheck": SAME,
    "hostname": _HOSTS,
    "image": SAME,
    "init": SAME,
    "ipc": _NAMESPACE,
    "isolation": _NEWER,
    "label_file": SAME,
    "labels": SAME,
    "links": _NO_LINKS,
    "logging": _differs("service logs go to CloudWatch Logs"),
    "mac_address": _NAMESPACE,
    "mem_limit": _SIZE,
    "mem_reservation": _SIZE,
    "mem_swappiness": _SCHEDULER,
    "memswap_limit": _SCHEDULER,
    "models": _ignored("no model is started, and its variables are not set"),
    "network_mode": _NAMESPACE,
    "networks": _differs("tasks run in private subnets, and security groups allow connections"),
    "oom_kill_disable": _SCHEDULER,
    "oom_score_adj": _SCHEDULER,
    "pid": _NAMESPACE,
    "pids_limit": _SCHEDULER,
    "platform": _differs("the environment's architecture applies"),
    "ports": _differs("x-aws.port is the only port of a service, and x-aws.paths routes to it from outside"),
    "post_start": _ignored("its commands are not run"),
    "pre_stop": _ignored("its commands are not run"),
    "privileged": _ignored("Fargate does not support privileged containers"),
    "profiles": _differs("a service with x-aws runs regardless of its profiles"),
    "provider": _refused("AWS runs only containers, and this service is not one"),
    "pull_policy": _HERE,
    "pull_refresh_after": _HERE,
    "read_only": SAME,
    "restart": _ECS_STARTS,
    "runtime": _NEWER,
    "scale": _ECS_STARTS,
    "secrets": _ignored("/run/secrets is empty; a secret of .env under environment becomes an SSM parameter"),
    "security_opt": _ignored("Fargate has no such options"),
    "shm_size": _ignored("Fargate sets the size of shared memory"),
    "stdin_open": _ignored("a task has no terminal"),
    "stop_grace_period": SAME,  # up to what Fargate allows: infrastructure/compose.py
    "stop_signal": _ignored("a task gets its image's STOPSIGNAL, or SIGTERM"),
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
