"""The AWS of a rehearsal: `ministack` beside the container engine of this machine, on a port of 127.0.0.1.

https://github.com/ministackorg/ministack
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import msgspec

import stackhand
from stackhand.aws import session
from stackhand.cli import packages
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.loglines import tail
from stackhand.containers import docker
from stackhand.local.engines.embedded.launch import birth
from stackhand.project import hooks, inherited, ownership
from stackhand.rehearsal import resources
from stackhand.system import http, waiting

STARTS_WITHIN = ENDS_WITHIN = 60.0
ENDING = re.compile(rf"{docker.NOT_THERE.pattern}|already in progress", re.IGNORECASE)
"""What docker says of a container that the emulator is removing itself."""
SERVICES = (
    *("acm", "autoscaling", "ec2", "ecr", "ecs", "ecs-metadata", "elasticache", "elasticloadbalancing", "events"),
    *("iam", "kms", "logs", "monitoring", "rds", "route53", "s3", "scheduler", "secretsmanager", "servicediscovery"),
    *("sns", "ssm", "sts", "tagging"),
)
"""What terraform/ and a deploy use of AWS: some of the others would run what they are given on this machine. Its
scheduler starts no tasks: a rehearsal starts jobs by `./inv run`."""
PYTHON = Path(sys.prefix) / "tools" / "ministack" / "bin" / "python"
"""Asked for the module: a script of `bin` names its Python by the path of the checkout that it was installed from."""
APPLICATION = "stackhand.rehearsal.ministack.app:app"
_children: list[subprocess.Popen[bytes]] = []
"""Kept, for they may outlive us on purpose, and Python complains of forgotten ones."""


class Emulator(msgspec.Struct, frozen=True):
    """An emulator that was started, dead or alive.

    Args:
        pid: its process.
        birth: what tells it from a later process of that number.
        port: where it listens, on 127.0.0.1.
        region: whose resources it has; requests to a load balancer or to the registry name none.
        gateway: where containers reach this machine.
        key: the id of the access key that it answers to; made for this rehearsal alone.
    """

    pid: int
    birth: str
    port: int
    region: str
    gateway: str
    key: str

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return birth(self.pid) == self.birth

    def client(self, service: str) -> Any:
        """Return a boto3 client of it, whatever this process's environment says."""
        return session.of_emulator(service, self.region, self.endpoint, self.key)

    def environment(self) -> dict[str, str]:
        """Return the environment in which boto3, Terraform and docker reach it, and never the genuine AWS."""
        kept = inherited.environment("rehearsal")
        direct = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost")))
        return {
            **kept,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "TF_VAR_aws_endpoint": self.endpoint,
            "TF_VAR_aws_endpoint_of_tasks": f"http://{self.gateway}:{self.port}",
            hooks.SKIP: "1",  # they would tell others of a release that is none
            "NO_PROXY": direct,
            "no_proxy": direct,
        }

    def containers(self) -> list[str]:
        """Return the ids of the containers it started, running or not."""
        mine = f"label={resources.label(self.port)}"
        return docker.run("ps", "--all", "--quiet", "--filter", mine).stdout.split()

    def running(self, label: str) -> list[str]:
        """Return the ids of those that run and have a label, NAME=VALUE."""
        listed = docker.run("ps", "--quiet", "--filter", f"label={label}").stdout.split()
        return [each for each in self.containers() if each in listed]

    def stop(self) -> None:
        """End it, and remove what it started. It takes its containers with it when it can."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGINT)
            for _ in waiting.polls(ENDS_WITHIN, 0.1):
                self._reap()
                if not self.alive:
                    break
            else:
                os.kill(self.pid, signal.SIGKILL)
            self._reap()
        if left := self.containers():
            docker.run("rm", "--force", "--volumes", *left, accept=ENDING, timeout=ENDS_WITHIN)
        resources.remove_network(self.port)

    def _reap(self) -> None:
        """Take its exit code, if it was ours: until then it is not quite gone."""
        for child in [each for each in _children if each.pid == self.pid and each.poll() is not None]:
            _children.remove(child)


def start(folder: Path, region: str) -> Emulator:
    """Start an emulator with no state, and note it down in a folder, whose earlier one is ended first.

    Raises:
        Failure: it cannot be installed, or does not answer in time; its log is the evidence.
    """
    packages.MINISTACK.ensure()
    if earlier := remembered(folder):
        earlier.stop()
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / "emulator.log"
    port, key = resources.free_port(), f"REHEARSAL{secrets.token_hex(16).upper()}"
    gateway = resources.gateway(resources.make_network(port))
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            command(port, gateway),
            cwd=folder,
            env=_environment(folder, port, region) | {"REHEARSAL_KEY": key, "REHEARSAL_GATEWAY": gateway},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _children.append(child)
    emulator = Emulator(child.pid, birth(child.pid) or "", port, region, gateway, key)
    ownership.write(_file(folder), msgspec.json.encode(emulator))  # its key is for this account alone
    try:
        _wait_for(emulator, log_path)
    except BaseException:
        emulator.stop()
        raise
    return emulator


def remembered(folder: Path) -> Emulator | None:
    """Return the emulator last started in a folder, dead or alive; None when there was none."""
    try:
        return msgspec.json.decode(_file(folder).read_bytes(), type=Emulator)
    except (OSError, ValueError):
        return None


def forget(folder: Path) -> None:
    """Remember no emulator of a folder any more."""
    _file(folder).unlink(missing_ok=True)
    for path in (*folder.glob("ministack-*.pid"), *folder.glob("authorities-*.pem"), *folder.glob("connections-*.log")):
        path.unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    return folder / "emulator.json"


def _environment(folder: Path, port: int, region: str) -> dict[str, str]:
    return {
        **inherited.environment("emulator"),
        "PYTHONPATH": str(_linked_modules(folder)),
        "GATEWAY_PORT": str(port),
        "SERVICES": ",".join(SERVICES),
        "MINISTACK_REGION": region,
        # gives databases and caches addresses and usual ports that tasks and this machine reach alike, and tasks names
        "DOCKER_NETWORK": resources.network_of(port),
        # of caches and databases, which take the next ports without a look; those of another rehearsal begin elsewhere
        "ELASTICACHE_BASE_PORT": str(port - resources.CACHES_BELOW),
        "RDS_BASE_PORT": str(port - resources.DATABASES_BELOW),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "ECS_REAP_INTERVAL_SECONDS": "2",
        "TMPDIR": str(folder),
    }


def modules(folder: Path) -> Path:
    """Return the folder with this package alone: beside it are others, which the emulator has in its own versions."""
    return folder / "modules"


def _linked_modules(folder: Path) -> Path:
    link = modules(folder) / "stackhand"
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(Path(stackhand.__file__).parent)
    return link.parent


def _wait_for(emulator: Emulator, log_path: Path) -> None:
    what = f"The AWS emulator did not answer within {STARTS_WITHIN:g} s."
    for _ in waiting.polls(STARTS_WITHIN, 0.1):
        if _answers(emulator.port):
            return
        if not emulator.alive:
            what = "The AWS emulator exited at once."
            break
    raise Failure(what, evidence=tail(log_path, 10), next=f"read {log_path}", code=ExitCode.PREFLIGHT)


def _answers(port: int) -> bool:
    try:
        return http.get(f"http://127.0.0.1:{port}/_ministack/health", timeout=2).ok
    except (OSError, HTTPException):
        return False


def command(port: int, gateway: str) -> list[str]:
    """Return the command that serves the emulator to this machine and its containers, and to nobody else.

    Its own command, `ministack`, listens at one address only, and tasks ask the load balancer for each other.
    """
    hosts = ["127.0.0.1", *([] if gateway == resources.FROM_A_CONTAINER else [gateway])]
    binds = [word for host in hosts for word in ("--bind", f"{host}:{port}")]
    options = ["--keep-alive", "75", "--workers", "0"]  # 0: in one process
    return [str(PYTHON), "-m", "hypercorn", APPLICATION, *binds, *options]
