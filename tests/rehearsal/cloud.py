"""An environment of the emulator with a release in it, and a client that asks it all the time."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.rehearsal import emulator, environment
from stackhand.rehearsal.clone import Clone
from stackhand.rehearsal.emulator import Emulator
from stackhand.rehearsal.scenario import version
from tests import standin
from tests.checkout import Said, clean_environment

TERRAFORM = Path(__file__).with_name("terraform")
TIMING = "poll=0.5,timeout=240,probes=3,cap=5,probe_timeout=8"
DEPLOY = ("deploy", "-e", environment.NAME, "--yes", "--max-severity", "any", "--allow-older")
"""Without questions; of the images that the tests push nobody knows the commit, so neither whether it is older."""
SERVICES = ("api", "web")
A_SECOND = 20
OURS = ("STACKHAND_", "PYTEST_", "ANSIBLE_", "COLUMNS", "LINES", "CI", "GITHUB_")

SIGN = """
import sys
from stackhand.infrastructure.store import Store
from stackhand.project import environments
from stackhand.release.images import provenance, registry, signature
from stackhand.release.manifest import Releases
from stackhand.release.target import target_of

environment, commit = environments.load(sys.argv[1]), sys.argv[2]
target = target_of(Releases(Store(environment)).current())
digests = {name: registry.digest_in(environment, each.repository.name, commit) for name, each in target.built().items()}
for image in provenance.of_target(environment, target, digests, commit):
    if image.expected and image.digest:
        signature.sign(environment, image)
"""
"""Run in the copy, whose key it is."""


class Cloud:
    """What the tests of a rehearsal share.

    Args:
        aws: the emulator.
        clone: the checkout that is released.
        told: what `./inv rehearse` said.
        settings: of its process environment.
    """

    def __init__(self, aws: Emulator, clone: Clone, told: list[str], settings: dict[str, str]) -> None:
        self.aws, self.clone, self.told, self.settings = aws, clone, told, settings
        self.environment: Environment = environments.load(environment.NAME)
        self.name = f"{self.environment.stack}-{environment.NAME}"
        self.url = f"{aws.endpoint}/_alb/{self.name}"
        self.first = self.good = self.version()

    def shell(self) -> dict[str, str]:
        """Return the environment of a person who rehearses, in a hurry."""
        kept = {key: value for key, value in self.aws.environment().items() if not key.startswith(OURS)}
        return {**kept, "LANG": "C.UTF-8", **self.settings}

    def start(self, *words: str, program: tuple[str, ...] = ("./inv",)) -> subprocess.Popen[str]:
        """Start ./inv in the copy, and return at once."""
        return subprocess.Popen(
            [*program, *words],
            cwd=self.clone.path,
            env=self.shell(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def playbook(self, name: str, **variables: str) -> Said:
        """Run a playbook in the copy, as a workflow does: Ansible, and nothing around it."""
        given = [
            f"--extra-vars={key}={value}"
            for key, value in {"stackhand_environment": environment.NAME, **variables}.items()
        ]
        return self.inv(f"playbooks/{name}.yml", *given, program=(".venv/bin/python", "-m", "ansible.cli.playbook"))

    def inv(self, *words: str, timeout: float = 300.0, program: tuple[str, ...] = ("./inv",)) -> Said:
        """Run ./inv in the copy to its end."""
        child = self.start(*words, program=program)
        try:
            out, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            out, _ = child.communicate()
            raise AssertionError(f"./inv {' '.join(words)} did not end within {timeout:g} s\n{out}") from None
        return Said(child.returncode, out, "")

    def deploy(self, tag: str) -> Said:
        """Deploy what was pushed under a tag."""
        return self.inv(*DEPLOY, "--tag", tag)

    def image(self, service: str, tag: str) -> str:
        return f"localhost:{self.aws.port}/{self.name}/{service}:{tag}"

    def variant(
        self, tag: str, lines: str = "", *, service: str = "api", commit: str = "", others: bool = True
    ) -> None:
        """Push the release that was kept under a new tag, with some lines more for the image of one of its services.

        Without the others, it is to be signed when they are there too.
        """
        written = f"FROM {self.image(service, self.first)}\nENV COMMIT={commit or tag}\n{lines}\n"
        words = ["docker", "build", "--quiet", "--provenance=false", "--tag", self.image(service, tag), "-"]
        subprocess.run(words, input=written, text=True, check=True, capture_output=True, timeout=120)
        self.push(self.image(service, tag))
        for other in SERVICES if others else ():
            if not self.has(other, tag):
                self.retag(other, tag)
        if others:
            self.sign(tag)

    def sign(self, tag: str) -> None:
        """Sign what was pushed under a tag, as the deploy does that builds it."""
        words = [".venv/bin/python", "-c", SIGN, environment.NAME, tag]
        subprocess.run(words, cwd=self.clone.path, env=self.shell(), check=True, capture_output=True, timeout=60)

    def push(self, image: str) -> None:
        """Push an image with the key of the rehearsal, which is its registry's password."""
        password = base64.b64encode(f"AWS:{self.aws.key}".encode()).decode()
        with tempfile.TemporaryDirectory(prefix="sh-") as folder:
            document = {"auths": {image.partition("/")[0]: {"auth": password}}}
            (Path(folder) / "config.json").write_text(json.dumps(document), encoding="utf-8")
            words = ["docker", "--config", folder, "push", "--quiet", image]
            subprocess.run(words, check=True, capture_output=True, timeout=60)

    def has(self, service: str, tag: str) -> bool:
        """Whether ECR has an image of that tag."""
        ids = [{"imageTag": tag}]
        return bool(
            self.aws.client("ecr").batch_get_image(repositoryName=f"{self.name}/{service}", imageIds=ids)["images"]
        )

    def retag(self, service: str, tag: str, change: dict[str, Any] | None = None) -> None:
        """Give that release's image another tag; with `change`, in a manifest that differs."""
        ecr, repository = self.aws.client("ecr"), f"{self.name}/{service}"
        ids = [{"imageTag": self.first}]
        found = ecr.batch_get_image(repositoryName=repository, imageIds=ids)["images"][0]["imageManifest"]
        manifest = json.dumps({**json.loads(found), **change}) if change else found
        ecr.put_image(repositoryName=repository, imageManifest=manifest, imageTag=tag)

    def running(self) -> dict[str, str]:
        """Return the digest that each service is to run, and all its tasks do, as the emulator tells."""
        ecs, found = self.aws.client("ecs"), {}
        for service in ecs.describe_services(cluster=self.name, services=list(SERVICES))["services"]:
            primary = next(each for each in service["deployments"] if each["status"] == "PRIMARY")
            arn = primary["taskDefinition"]
            image = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]["containerDefinitions"][0][
                "image"
            ]
            tasks = ecs.list_tasks(cluster=self.name, serviceName=service["serviceName"])["taskArns"]
            really = {
                container["imageDigest"]
                for task in ecs.describe_tasks(cluster=self.name, tasks=tasks)["tasks"]
                for container in task["containers"]
            }
            found[service["serviceName"]] = (
                image.partition("@")[2] if really == {image.partition("@")[2]} else str(really)
            )
        return found

    def version(self) -> str:
        """Return the commit that answers."""
        return version(self.url)

    @contextmanager
    def watched(self) -> Iterator[Client]:
        """Ask the environment all the time."""
        client = Client(self.url)
        client.start()
        try:
            yield client
        finally:
            client.end()

    @contextmanager
    def asked(self) -> Iterator[Client]:
        """Ask the environment all the time, and fail when a request was lost."""
        with self.watched() as client:
            yield client
        assert client.requests > A_SECOND, client.requests
        assert client.lost == [], client.lost[:5]

    @contextmanager
    def unharmed(self) -> Iterator[Client]:
        """Require that what runs before a failed release runs after it, and no request is lost."""
        before, commit = self.running(), self.version()
        with self.asked() as client:
            yield client
            assert (self.running(), self.version()) == (before, commit)
        assert client.seen == {commit}, client.seen


class Client(threading.Thread):
    """Asks for the page and for the version, in turns, so many times a second, on 127.0.0.1 only.

    Args:
        url: of the load balancer.
    """

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.parts = urlsplit(url)
        self.requests = 0
        self.lost: list[str] = []
        self.seen: set[str] = set()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(1 / A_SECOND):
            self._ask("/" if self.requests % 2 else "/version")
            self.requests += 1

    def end(self) -> None:
        self._over.set()
        self.join(timeout=30)

    def _ask(self, path: str) -> None:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.parts.port, timeout=10)
        try:
            connection.request("GET", f"{self.parts.path}{path}")
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                self.lost.append(f"{path}: {response.status} {body[:100]!r} after {time.monotonic() - began:.2f} s")
            elif path == "/version":
                self.seen.add(json.loads(body)["commit"])
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.lost.append(f"{path}: {type(error).__name__} {error} after {time.monotonic() - began:.2f} s")
        finally:
            connection.close()


@contextmanager
def rehearsed(*, hurry: bool = True) -> Iterator[Cloud]:
    """Give what `./inv rehearse --keep` leaves running; nothing of it may be left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sh-rehearsal-")).resolve()
    checkout = Clone.make(folder / "shop")
    with (checkout.path / environment.PATH).open("a", encoding="utf-8") as file:
        file.write('nat = "none"\n')  # tasks reach less than with a gateway
    replay = folder / "terraform"
    replay.mkdir()
    settings = {"STACKHAND_TERRAFORM": str(TERRAFORM), "STACKHAND_TERRAFORM_STAND_IN": str(standin.program() or "")}
    settings |= {"STACKHAND_TIMING": TIMING, "STACKHAND_TERRAFORM_REPLAY": str(replay)} if hurry else {}
    shell = {**clean_environment(), **settings}
    try:
        code, lines = checkout.inv(["rehearse", "--keep", "--restore"], shell, lambda _: None)
        assert code == 0, "\n".join(lines)
        place = checkout.path / ".stackhand" / "rehearsal"
        aws = emulator.remembered(place)
        assert aws
        yield Cloud(aws, Clone(place / "checkout"), lines, settings)
    finally:
        code, lines = checkout.inv(["rehearse", "--stop"], shell, lambda _: None)
        shutil.rmtree(folder, ignore_errors=True)
        assert code == 0, "\n".join(lines)
        assert lines[-1] == "The rehearsal is stopped and left nothing behind."
