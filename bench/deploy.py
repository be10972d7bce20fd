"""What a deploy costs on the emulator of a rehearsal, beside the same steps by hand, and how soon a failure is told.

    ./inv bench.deploy

By hand means docker, terraform and boto3 one after the other, without the half second that each call of the aws command
takes to start: the comparison is harder on us than with it. The two take turns. Both build and push the two images of a
new commit, plan, migrate, roll both services out, and ask three times for health and version.
"""

from __future__ import annotations

import base64
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.clock import clock, machine, table
from stackhand.infrastructure.terraform.terraform import STATE_KEY
from stackhand.rehearsal.environment import NAME as ENVIRONMENT
from tests.rehearsal.cloud import DEPLOY, SERVICES, TERRAFORM, Cloud, rehearsed

RUNS = 3
GOALS = {
    "a release": "at most 2.5 s more than by hand",
    "nothing to do": "at most 4",
    "from a task's failure to its reason on screen": "at most 5",
}

FLOORS = {"a release": "the same by hand", "nothing to do": "Terraform alone: init, plan, output"}
EXITS = 'ENTRYPOINT []\nCMD ["sh", "-c", "echo the settings make no sense; exit 3"]'
"""The end of a Dockerfile whose program does not start."""


def main() -> None:
    """Measure, and print a table in Markdown."""
    with rehearsed(hurry=False) as cloud:
        cloud.clone.back(cloud.first)
        figures, lost = measure(cloud)
    print(f"{machine()}\n\n{table(figures, GOALS, FLOORS)}\n")
    gaps = [ours - theirs for ours, theirs in zip(figures["a release"], figures["the same by hand"], strict=True)]
    print(f"a release: {statistics.median(gaps):+.1f} s beside the same by hand (goal: at most +2.5 s)")
    print(", ".join(f"requests lost during a {name} release: {count} of {of}" for name, (count, of) in lost.items()))


def measure(cloud: Cloud) -> tuple[dict[str, list[float]], dict[str, tuple[int, int]]]:
    """Return the times by what was measured, and how many requests were lost of how many."""
    names = ("a release", "the same by hand", "nothing to do", "Terraform alone: init, plan, output")
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(RUNS):
        cloud.clone.commit(f"Release {number}")
        found["a release"].append(clock(lambda: _deploy(cloud)))
        found["nothing to do"].append(clock(lambda: _deploy(cloud)))
        found["Terraform alone: init, plan, output"].append(clock(lambda: _plan(cloud)))
        found["the same by hand"].append(clock(lambda tag=f"hand-{number}": by_hand(cloud, tag)))
    lost: dict[str, tuple[int, int]] = {}
    cloud.variant("kept")
    with cloud.watched() as client:
        _deploy(cloud, "--tag", "kept")
    lost["good"] = (len(client.lost), client.requests)
    cloud.variant("bad", EXITS)
    with cloud.watched() as client:
        first, whole = _failure(cloud, "bad")
    lost["rolled-back"] = (len(client.lost), client.requests)
    found["from a task's failure to its reason on screen"] = [first]
    found["from a task's failure to the whole report, all services back"] = [whole]
    return found, lost


def _deploy(cloud: Cloud, *words: str) -> None:
    said = cloud.inv(*DEPLOY, *words, timeout=300)
    if said.code != 0:
        raise SystemExit(said.out)


def _failure(cloud: Cloud, tag: str) -> tuple[float, float]:
    """Return how long after the last failing task stopped its reason was told, and the whole report."""
    child = cloud.start(*DEPLOY, "--tag", tag)
    assert child.stdout is not None
    times = {}
    for line in child.stdout:
        for sign in ("api failed: ", "Deploy of "):
            if sign in line:
                times.setdefault(sign, time.time())
    child.wait()
    ecs = cloud.client("ecs")
    arns = ecs.list_tasks(cluster=cloud.name, serviceName="api", desiredStatus="STOPPED")["taskArns"]
    tasks = ecs.describe_tasks(cluster=cloud.name, tasks=arns)["tasks"]
    failed = max(each["stoppedAt"].timestamp() for each in tasks if each["stopCode"] == "EssentialContainerExited")
    return times["api failed: "] - failed, times["Deploy of "] - failed


def by_hand(cloud: Cloud, tag: str) -> None:
    """Do what a deploy does, with nothing around it."""
    output = _plan(cloud)
    _log_in(cloud)
    ecs, definitions = cloud.client("ecs"), {}
    for service in SERVICES:
        image = cloud.image(service, tag)
        folder = {"api": "service", "web": "web"}[service]
        words = ["docker", "build", "--quiet", "--provenance=false", "--target", "production", "--tag", image]
        _run([*words, f"--build-arg=REVISION={tag}", "--file", f"{folder}/Dockerfile", "."], cloud)
        _run(["docker", "push", "--quiet", image], cloud)
        repository = output["services"][service]["repository"]
        ids = [{"imageTag": tag}]
        found = cloud.client("ecr").describe_images(repositoryName=repository["name"], imageIds=ids)["imageDetails"]
        definition = output["services"][service]["task_definition"]
        definition["containerDefinitions"][0]["image"] = f"{repository['url']}@{found[0]['imageDigest']}"
        definitions[service] = ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
    job = output["jobs"]["migrate"]["task_definition"]
    job["containerDefinitions"][0]["image"] = output["services"]["api"]["task_definition"]["containerDefinitions"][0][
        "image"
    ]
    _migrate(ecs, output, ecs.register_task_definition(**job)["taskDefinition"]["taskDefinitionArn"])
    for service, arn in definitions.items():
        ecs.update_service(cluster=cloud.name, service=service, taskDefinition=arn)
    while not _rolled(ecs, cloud.name, definitions):
        time.sleep(1)
    while cloud.version() != tag:
        time.sleep(0.5)
    _run(["docker", "logout", _registry(cloud)], cloud)


def _log_in(cloud: Cloud) -> None:
    """Let Docker push to the registry."""
    given = cloud.client("ecr").get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    subprocess.run(
        ["docker", "login", "--username", user, "--password-stdin", _registry(cloud)],
        input=password,
        env=cloud.shell(),
        capture_output=True,
        text=True,
        check=True,
    )


def _registry(cloud: Cloud) -> str:
    return cloud.image("api", "").partition("/")[0]


def _plan(cloud: Cloud) -> dict[str, Any]:
    """Return Terraform's output `release`, once it has found that nothing is to be changed."""
    _terraform(cloud, "init", "-reconfigure", *_backend(cloud))
    files = (cloud.clone.path / "environments" / f"{ENVIRONMENT}.tfvars", _folder(cloud) / "services.tfvars.json")
    _terraform(cloud, "plan", "-input=false", *(f"-var-file={each}" for each in files))
    return dict(json.loads(_terraform(cloud, "output", "-json"))["release"]["value"])


def _backend(cloud: Cloud) -> list[str]:
    settings = {"bucket": cloud.environment.bucket, "key": STATE_KEY, "region": cloud.aws.region}
    settings["use_path_style"] = "true"
    return [f"-backend-config={key}={value}" for key, value in settings.items()]


def _migrate(ecs: Any, output: dict[str, Any], definition: str) -> None:
    job = output["jobs"]["migrate"]
    network = {"awsvpcConfiguration": {"subnets": job["subnets"], "securityGroups": job["security_groups"]}}
    task = ecs.run_task(
        cluster=output["cluster"],
        taskDefinition=definition,
        launchType="FARGATE",
        networkConfiguration=network,
    )["tasks"][0]["taskArn"]
    while True:
        found = ecs.describe_tasks(cluster=output["cluster"], tasks=[task])["tasks"][0]
        if found["lastStatus"] == "STOPPED":
            break
        time.sleep(1)
    if found["containers"][0]["exitCode"] != 0:
        raise SystemExit(f"the migration by hand failed: {found}")


def _rolled(ecs: Any, cluster: str, definitions: dict[str, str]) -> bool:
    services = ecs.describe_services(cluster=cluster, services=list(definitions))["services"]
    return all(
        each["status"] != "PRIMARY" or each["rolloutState"] == "COMPLETED"
        for service in services
        for each in service["deployments"]
    )


def _folder(cloud: Cloud) -> Path:
    """Return where a deploy has placed the configuration, and the services as variables."""
    return cloud.clone.path / ".stackhand" / "terraform" / ENVIRONMENT


def _terraform(cloud: Cloud, *words: str) -> str:
    command, folder = [str(TERRAFORM), *words], _folder(cloud)
    environment = {**cloud.shell(), "TF_DATA_DIR": str(folder), "TF_IN_AUTOMATION": "1"}
    place = folder / "configuration"
    said = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {said.stderr}")
    return said.stdout


def _run(words: list[str], cloud: Cloud) -> None:
    said = subprocess.run(words, cwd=cloud.clone.path, env=cloud.shell(), capture_output=True, text=True, check=False)
    if said.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {said.stderr}")


if __name__ == "__main__":
    sys.exit(main())
