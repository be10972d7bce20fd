"""What each target makes of each key of a Compose service: the support matrix, as data, and its meaning for a stack.

A target is a mapping of keys, and a key that is missing there is one that Compose did not have when this was written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple


class Level(StrEnum):
    """How much of a key a target carries."""

    SAME = "same"
    DIFFERS = "differs"
    IGNORED = "ignored"
    REFUSED = "refused"


class Support(NamedTuple):
    """What a target makes of a key: how much of it, and how it differs, what one loses, or why it is refused."""

    level: Level
    message: str = ""


def _differs(message: str) -> Support:
    return Support(Level.DIFFERS, message)


def _ignored(message: str) -> Support:
    return Support(Level.IGNORED, message)


def _refused(message: str) -> Support:
    return Support(Level.REFUSED, message)


def _by_key(keys: Mapping[Support, str]) -> dict[str, Support]:
    """Return a target's keys, each with its support, from the names of all keys that have it."""
    return {key: support for support, names in keys.items() for key in names.split()}


SAME = Support(Level.SAME)
UNKNOWN = _ignored("this version of Stackhand does not know it")
_HERE = _differs("applies only to this machine")
_MACHINE_NETWORK = _ignored("all services are on 127.0.0.1, with this machine's name resolution")

# Of those that are the same, infrastructure/services/differences.py names what Fargate lacks: some capabilities, a
# longer stop_grace_period, ulimits but nofile; references.py beside it says what it means that nothing is mounted.
AWS: Mapping[str, Support] = _by_key(
    {
        SAME: "build cap_add cap_drop command entrypoint env_file environment expose extends healthcheck image init "
        "label_file labels read_only stop_grace_period tmpfs ulimits user working_dir",
        _HERE: "attach container_name develop pull_policy pull_refresh_after",
        _differs("x-aws.cpu and x-aws.memory set the size of a task"): "cpu_count cpu_percent cpu_period cpu_quota "
        "cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset mem_limit mem_reservation",
        _differs("x-aws.scale sets the number of tasks, and ECS replaces each that stops"): "restart scale",
        _differs("x-aws sets the number and size of tasks; ECS replaces them gradually"): "deploy",
        _differs("all services start together; each must wait for its dependencies"): "depends_on",
        _differs("service logs go to CloudWatch Logs"): "logging",
        _differs("all services of an environment reach each other by their names, in private subnets"): "networks",
        _differs("the environment's architecture applies"): "platform",
        _differs("x-aws.port is the only port of a service, and x-aws.paths routes to it from outside"): "ports",
        _differs("a service with x-aws runs regardless of its profiles"): "profiles",
        _refused("AWS runs only containers, and this service is not one"): "provider",
        _ignored("ECS has no equivalent"): "annotations credential_spec isolation runtime storage_opt use_api_socket",
        _ignored("Fargate has no such limit"): "blkio_config mem_swappiness memswap_limit oom_kill_disable "
        "oom_score_adj pids_limit sysctls",
        _ignored("Fargate has no such options"): "security_opt",
        _ignored("Fargate sets the size of shared memory"): "shm_size",
        _ignored("Fargate does not support privileged containers"): "privileged",
        _ignored("Fargate gives a task no devices"): "device_cgroup_rules devices gpus",
        _ignored("a task on Fargate has its own namespaces"): "cgroup cgroup_parent ipc mac_address network_mode pid "
        "userns_mode uts",
        _ignored("a task on Fargate resolves names only through its network"): "dns dns_opt dns_search domainname "
        "extra_hosts hostname",
        _ignored("a service has only its own name as a host name"): "external_links links",
        _ignored("a container has only the groups of its image and of user"): "group_add",
        _ignored("a task has no terminal"): "stdin_open tty",
        _ignored("a task gets its image's STOPSIGNAL, or SIGTERM"): "stop_signal",
        _ignored("its commands are not run"): "post_start pre_start pre_stop",
        _ignored("no model is started, and its variables are not set"): "models",
        _ignored("its files are missing; COPY them into the image"): "configs",
        _ignored("/run/secrets is empty; a secret of .env under environment becomes an SSM parameter"): "secrets",
        _ignored("nothing is mounted"): "volumes volumes_from",
    }
)
"""What terraform/ and a deploy make of a service that runs on ECS Fargate."""

EMBEDDED: Mapping[str, Support] = _by_key(
    {
        SAME: "attach env_file extends profiles",
        _differs("the program runs from the project's folder, without an image"): "build",
        _differs(
            "x-embedded.command is the program; servers that Stackhand installs have their own"
        ): "command entrypoint",
        _differs("Stackhand's packages provide the server, in their own version"): "image",
        _differs("supervisord starts the program, and reaps it"): "init",
        _differs(
            "each service waits until those it depends on are usable, whatever the condition; "
            "restart and required count"
        ): "depends_on",
        _differs("one process runs for each service; restart_policy and the modes of jobs count"): "deploy",
        _differs("names of other services become 127.0.0.1 and their ports"): "environment",
        _differs(
            "x-health or x-embedded.ready is requested; without them, the port must accept connections"
        ): "healthcheck",
        _differs("logs go to .stackhand/logs"): "logging",
        _differs("the program must listen on the published port, which is in $PORT, at 127.0.0.1"): "ports",
        _differs("a program that fails is started again, unless restart is no"): "restart",
        _differs("a program has 10 s to stop"): "stop_grace_period",
        _differs("a program gets SIGTERM; servers that Stackhand installs get their own signal"): "stop_signal",
        _differs("a program runs as you; started by root, as an account of its own"): "user",
        _differs("only the data of servers that Stackhand installs is kept; nothing is mounted"): "volumes",
        _ignored("there is no container"): "annotations container_name credential_spec isolation label_file labels "
        "runtime storage_opt use_api_socket",
        _ignored("a process has no limit of its own"): "blkio_config cpu_count cpu_percent cpu_period cpu_quota "
        "cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset mem_limit mem_reservation mem_swappiness memswap_limit "
        "oom_kill_disable oom_score_adj pids_limit shm_size ulimits",
        _ignored("a process is not isolated from this machine"): "cap_add cap_drop cgroup cgroup_parent "
        "device_cgroup_rules devices gpus group_add ipc pid privileged read_only security_opt sysctls userns_mode uts",
        _MACHINE_NETWORK: "dns dns_opt dns_search domainname external_links extra_hosts hostname links mac_address "
        "network_mode networks",
        _ignored("only published ports can be reached"): "expose",
        _ignored("no image is pulled or built"): "platform pull_policy pull_refresh_after",
        _ignored("nothing is synchronised or rebuilt; the program runs from the project's folder"): "develop",
        _ignored("nothing is mounted; the program uses the project's own files"): "tmpfs volumes_from",
        _ignored("the files are missing"): "configs",
        _ignored("/run/secrets is missing; use environment"): "secrets",
        _ignored("its commands are not run"): "post_start pre_start pre_stop",
        _ignored("the provider is not started"): "provider",
        _ignored("no model is started, and its variables are not set"): "models",
        _ignored("one process runs for each service"): "scale",
        _ignored("a program has no terminal"): "stdin_open tty",
        _ignored("a program starts in the project's folder"): "working_dir",
    }
)
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


def differing(target: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Support]]:
    """Yield the keys of a service, as its file has it, that a target does not carry as Compose does."""
    for key, value in entry.items():
        support = TARGETS[target].get(key, UNKNOWN)
        if not key.startswith("x-") and value not in (None, [], {}, False) and support.level is not Level.SAME:
            yield key, support


def lines(target: str, services: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what a target makes of its services: a line for each consequence, and one for all that only differs."""
    lost: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    different: set[str] = set()
    for name, entry in services.items():
        for key, support in differing(target, entry):
            if support.level is Level.DIFFERS:
                different.add(key)
            else:
                lost[support.message][key].append(name)
    output = [f"{', '.join(sorted(keys))} of {_names(keys.values())}: {message}" for message, keys in lost.items()]
    return sorted(output) + (
        [f"different: {', '.join(sorted(different))} (docs/compose-support.md)"] if different else []
    )


def _names(services: Iterable[Iterable[str]]) -> str:
    return ", ".join(sorted({name for each in services for name in each}))
