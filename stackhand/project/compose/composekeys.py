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
_NO_LINKS = _ignored("a service has only its own name as a host name")
_NEWER = _ignored("ECS has no equivalent")

UNKNOWN = _ignored("this version of Stackhand does not know it")

AWS: Mapping[str, Support] = {
    "annotations": _NEWER,
    "attach": _HERE,
    "blkio_config": _SCHEDULER,
    "build": SAME,
    "cap_add": SAME,  # as far as Fargate has them: infrastructure/services/compose.py
    "cap_drop": SAME,
    "cgroup": _NAMESPACE,
    "cgroup_parent": _NAMESPACE,
    "command": SAME,
    "configs": _ignored("its files are missing; COPY them into the image"),
    "container_name": _HERE,
    **dict.fromkeys(("cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period"), _SIZE),
    **dict.fromkeys(("cpu_rt_runtime", "cpu_shares", "cpus", "cpuset"), _SIZE),
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
    "networks": _differs("all services of an environment reach each other by their names, in private subnets"),
    "oom_kill_disable": _SCHEDULER,
    "oom_score_adj": _SCHEDULER,
    "pid": _NAMESPACE,
    "pids_limit": _SCHEDULER,
    "platform": _differs("the environment's architecture applies"),
    "ports": _differs("x-aws.port is the only port of a service, and x-aws.paths routes to it from outside"),
    "post_start": _ignored("its commands are not run"),
    "pre_start": _ignored("its commands are not run"),
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
    "stop_grace_period": SAME,  # up to what Fargate allows: infrastructure/services/compose.py
    "stop_signal": _ignored("a task gets its image's STOPSIGNAL, or SIGTERM"),
    "storage_opt": _NEWER,
    "sysctls": _SCHEDULER,
    "tmpfs": SAME,
    "tty": _ignored("a task has no terminal"),
    "ulimits": SAME,  # nofile alone: infrastructure/services/compose.py
    "use_api_socket": _NEWER,
    "user": SAME,
    "userns_mode": _NAMESPACE,
    "uts": _NAMESPACE,
    "volumes": _ignored("nothing is mounted"),  # what that means for each: infrastructure/services/compose.py
    "volumes_from": _ignored("nothing is mounted"),
    "working_dir": SAME,
}
"""What terraform/ and a deploy make of a service that runs on ECS Fargate."""

_NO_CONTAINER = _ignored("there is no container")
_NO_IMAGE = _ignored("no image is pulled or built")
_NOT_ISOLATED = _ignored("a process is not isolated from this machine")
_NO_LIMIT = _ignored("a process has no limit of its own")
_MACHINE_NETWORK = _ignored("all services are on 127.0.0.1, with this machine's name resolution")
_NOT_MOUNTED = _ignored("nothing is mounted; the program uses the project's own files")
_ONE_PROCESS = _ignored("one process runs for each service")

EMBEDDED: Mapping[str, Support] = {
    "annotations": _NO_CONTAINER,
    "attach": SAME,
    "blkio_config": _NO_LIMIT,
    "build": _differs("the program runs from the project's folder, without an image"),
    "cap_add": _NOT_ISOLATED,
    "cap_drop": _NOT_ISOLATED,
    "cgroup": _NOT_ISOLATED,
    "cgroup_parent": _NOT_ISOLATED,
    "command": _differs("x-embedded.command is the program; servers that Stackhand installs have their own"),
    "configs": _ignored("the files are missing"),
    "container_name": _NO_CONTAINER,
    "cpu_count": _NO_LIMIT,
    "cpu_percent": _NO_LIMIT,
    "cpu_period": _NO_LIMIT,
    "cpu_quota": _NO_LIMIT,
    "cpu_rt_period": _NO_LIMIT,
    "cpu_rt_runtime": _NO_LIMIT,
    "cpu_shares": _NO_LIMIT,
    "cpus": _NO_LIMIT,
    "cpuset": _NO_LIMIT,
    "credential_spec": _NO_CONTAINER,
    "depends_on": _differs(
        "each service waits until those it depends on are usable, whatever the condition; restart and required count"
    ),
    "deploy": _differs("one process runs for each service; restart_policy and the modes of jobs count"),
    "develop": _ignored("nothing is synchronised or rebuilt; the program runs from the project's folder"),
    "device_cgroup_rules": _NOT_ISOLATED,
    "devices": _NOT_ISOLATED,
    "dns": _MACHINE_NETWORK,
    "dns_opt": _MACHINE_NETWORK,
    "dns_search": _MACHINE_NETWORK,
    "domainname": _MACHINE_NETWORK,
    "entrypoint": _differs("x-embedded.command is the program; servers that Stackhand installs have their own"),
    "env_file": SAME,
    "environment": _differs("names of other services become 127.0.0.1 and their ports"),
    "expose": _ignored("only published ports can be reached"),
    "extends": SAME,
    "external_links": _MACHINE_NETWORK,
    "extra_hosts": _MACHINE_NETWORK,
    "gpus": _NOT_ISOLATED,
    "group_add": _NOT_ISOLATED,
    "healthcheck": _differs(
        "x-health or x-embedded.ready is requested; without them, the port must accept connections"
    ),
    "hostname": _MACHINE_NETWORK,
    "image": _differs("Stackhand's packages provide the server, in their own version"),
    "init": _differs("supervisord starts the program, and reaps it"),
    "ipc": _NOT_ISOLATED,
    "isolation": _NO_CONTAINER,
    "label_file": _NO_CONTAINER,
    "labels": _NO_CONTAINER,
    "links": _MACHINE_NETWORK,
    "logging": _differs("logs go to .stackhand/logs"),
    "mac_address": _MACHINE_NETWORK,
    "mem_limit": _NO_LIMIT,
    "mem_reservation": _NO_LIMIT,
    "mem_swappiness": _NO_LIMIT,
    "memswap_limit": _NO_LIMIT,
    "models": _ignored("no model is started, and its variables are not set"),
    "network_mode": _MACHINE_NETWORK,
    "networks": _MACHINE_NETWORK,
    "oom_kill_disable": _NO_LIMIT,
    "oom_score_adj": _NO_LIMIT,
    "pid": _NOT_ISOLATED,
    "pids_limit": _NO_LIMIT,
    "platform": _NO_IMAGE,
    "ports": _differs("the program must listen on the published port, which is in $PORT, at 127.0.0.1"),
    "post_start": _ignored("its commands are not run"),
    "pre_start": _ignored("its commands are not run"),
    "pre_stop": _ignored("its commands are not run"),
    "privileged": _NOT_ISOLATED,
    "profiles": SAME,
    "provider": _ignored("the provider is not started"),
    "pull_policy": _NO_IMAGE,
    "pull_refresh_after": _NO_IMAGE,
    "read_only": _NOT_ISOLATED,
    "restart": _differs("a program that fails is started again, unless restart is no"),
    "runtime": _NO_CONTAINER,
    "scale": _ONE_PROCESS,
    "secrets": _ignored("/run/secrets is missing; use environment"),
    "security_opt": _NOT_ISOLATED,
    "shm_size": _NO_LIMIT,
    "stdin_open": _ignored("a program has no terminal"),
    "stop_grace_period": _differs("a program has 10 s to stop"),
    "stop_signal": _differs("a program gets SIGTERM; servers that Stackhand installs get their own signal"),
    "storage_opt": _NO_CONTAINER,
    "sysctls": _NOT_ISOLATED,
    "tmpfs": _NOT_MOUNTED,
    "tty": _ignored("a program has no terminal"),
    "ulimits": _NO_LIMIT,
    "use_api_socket": _NO_CONTAINER,
    "user": _differs("a program runs as you; started by root, as an account of its own"),
    "userns_mode": _NOT_ISOLATED,
    "uts": _NOT_ISOLATED,
    "volumes": _differs("only the data of servers that Stackhand installs is kept; nothing is mounted"),
    "volumes_from": _NOT_MOUNTED,
    "working_dir": _ignored("a program starts in the project's folder"),
}
"""What the embedded engine makes of a service that it can run: one with `x-embedded`."""

COMPOSE: Mapping[str, Support] = {
    "deploy": _differs(
        "a mode of jobs makes up wait for the end, as of a job; Compose runs such a service like any other"
    ),
}
"""Where the compose engine does more than Compose, which runs the file."""

TARGETS: Mapping[str, Mapping[str, Support]] = {
    "compose": {**dict.fromkeys(EMBEDDED, SAME), **COMPOSE},
    "embedded": EMBEDDED,
    "aws": AWS,
}

_FOR_CONTAINERS = _ignored("there are no containers")
_MERGED = {"include": SAME, "name": SAME, "services": SAME, "version": SAME}

TOP_LEVEL: Mapping[str, Mapping[str, Support]] = {
    "compose": dict.fromkeys([*_MERGED, "configs", "models", "networks", "secrets", "volumes"], SAME),
    "embedded": {
        **_MERGED,
        "configs": _FOR_CONTAINERS,
        "models": _ignored("no model is started"),
        "networks": _MACHINE_NETWORK,
        "secrets": _FOR_CONTAINERS,
        "volumes": _differs("the data of servers is in .stackhand/data"),
    },
    "aws": {
        **_MERGED,
        "name": _HERE,
        "configs": _ignored("their files are missing; COPY them into the image"),
        "models": _ignored("no model is started"),
        "networks": _differs("tasks run in private subnets, and security groups allow connections"),
        "secrets": _ignored("a secret of .env under environment becomes an SSM parameter"),
        "volumes": _ignored("nothing is mounted"),
    },
}
"""The keys beside `services`."""
