"""docs/compose-support.md has every key that Compose accepts, and Compose accepts each key that it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from stackhand.project.compose import composekeys, resolution, resolver
from stackhand.project.compose.composekeys import TARGETS, TOP_LEVEL, Level
from tests.docs import support

COMMAND = [{"command": ["true"]}]
EXAMPLES: dict[str, Any] = {
    "annotations": {"a": "b"},
    "attach": False,
    "blkio_config": {"weight": 300},
    "build": ".",
    "cap_add": ["NET_ADMIN"],
    "cap_drop": ["ALL"],
    "cgroup": "host",
    "cgroup_parent": "parent",
    "command": ["serve"],
    "configs": ["settings"],
    "container_name": "one",
    "cpu_count": 2,
    "cpu_percent": 50,
    "cpu_period": 10000,
    "cpu_quota": 5000,
    "cpu_rt_period": 10000,
    "cpu_rt_runtime": 5000,
    "cpu_shares": 10,
    "cpus": 0.5,
    "cpuset": "0",
    "credential_spec": {"file": "spec.json"},
    "depends_on": ["image"],
    "deploy": {"replicas": 2},
    "develop": {"watch": [{"path": ".", "action": "rebuild"}]},
    "device_cgroup_rules": ["c 1:3 mr"],
    "devices": ["/dev/null:/dev/null"],
    "dns": ["127.0.0.1"],
    "dns_opt": ["use-vc"],
    "dns_search": ["example.test"],
    "domainname": "example.test",
    "entrypoint": ["/start"],
    "env_file": [{"path": "absent.env", "required": False}],
    "environment": {"A": "1", "FROM_SHELL": None},
    "expose": ["80"],
    "extends": {"service": "image"},
    "external_links": ["other:other"],
    "extra_hosts": ["other:127.0.0.1"],
    "gpus": "all",
    "group_add": ["1000"],
    "healthcheck": {"test": ["CMD", "true"], "start_interval": "1s", "start_period": "2s"},
    "hostname": "one",
    "image": "example",
    "init": True,
    "ipc": "host",
    "isolation": "default",
    "label_file": "labels.env",
    "labels": ["a=b"],
    "links": ["image:other"],
    "logging": {"driver": "json-file"},
    "mac_address": "02:42:ac:11:65:43",
    "mem_limit": "64m",
    "mem_reservation": "32m",
    "mem_swappiness": 10,
    "memswap_limit": "128m",
    "models": ["small"],
    "network_mode": "host",
    "networks": {"default": {"aliases": ["other"]}},
    "oom_kill_disable": True,
    "oom_score_adj": 10,
    "pid": "host",
    "pids_limit": 10,
    "platform": "linux/amd64",
    "ports": ["8000:80", "9000-9001:90-91/udp", "[::1]::70"],
    "post_start": COMMAND,
    "pre_start": COMMAND,
    "pre_stop": COMMAND,
    "privileged": True,
    "profiles": ["extra"],
    "provider": {"type": "example", "options": {"a": "b"}},
    "pull_policy": "never",
    "pull_refresh_after": "1h",
    "read_only": True,
    "restart": "always",
    "runtime": "runc",
    "scale": 2,
    "secrets": ["password"],
    "security_opt": ["no-new-privileges:true"],
    "shm_size": "64m",
    "stdin_open": True,
    "stop_grace_period": "1m",
    "stop_signal": "SIGINT",
    "storage_opt": {"size": "1G"},
    "sysctls": {"net.core.somaxconn": 1024},
    "tmpfs": ["/x:size=1m"],
    "tty": True,
    "ulimits": {"nofile": {"soft": 1, "hard": 2}},
    "use_api_socket": True,
    "user": "1000",
    "userns_mode": "host",
    "uts": "host",
    "volumes": ["data:/data", {"type": "bind", "source": ".", "target": "/src", "read_only": True}],
    "volumes_from": ["image"],
    "working_dir": "/srv",
}


def test_the_document_is_the_one_that_the_code_makes() -> None:
    assert support.DOCUMENT.read_text(encoding="utf-8") == support.document(), "python -m tests.docs.support"


@pytest.mark.parametrize("targets", [TARGETS, TOP_LEVEL], ids=["service", "beside"])
def test_each_target_has_an_answer_for_each_key(targets: dict[str, Any]) -> None:
    assert {frozenset(keys) for keys in targets.values()} == {frozenset(targets["compose"])}


def test_each_answer_but_same_has_its_consequence() -> None:
    answers = [answer for targets in (TARGETS, TOP_LEVEL) for keys in targets.values() for answer in keys.values()]
    assert all(bool(answer.message) == (answer.level is not Level.SAME) for answer in answers)


def test_compose_accepts_each_key_and_each_target_answers(tmp_path: Path) -> None:
    """Each key is in a service of its own: Compose refuses one that it does not know, by name."""
    services: dict[str, Any] = {key: {"image": "example", key: value} for key, value in EXAMPLES.items()}
    beside = {
        "volumes": {"data": None},
        "configs": {"settings": {"content": "x"}},
        "secrets": {"password": {"environment": "PASSWORD"}},
        "models": {"small": {"model": "example"}},
    }
    (tmp_path / "labels.env").write_text("a=b\n", encoding="utf-8")
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump({"services": services, **beside}), encoding="utf-8")
    newest = resolver.Resolver((str(resolver.PACKAGED),), "package")  # the newest, which knows all of them
    with mock.patch.object(resolver, "choose", return_value=newest):
        written = resolution.written(tmp_path)["services"]
    assert {*written} == {*EXAMPLES} == {*TARGETS["compose"]}
    for target, keys in TARGETS.items():
        differing = {
            key for key in EXAMPLES if key in {each for each, _ in composekeys.differing(target, written[key])}
        }
        asked = {key for key, support in keys.items() if support.level is not Level.SAME}
        resolved_away = {"extends", "attach", "label_file", "env_file"}  # written has only what they lead to, or false
        assert asked - differing <= resolved_away
