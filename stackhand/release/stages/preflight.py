"""What must be true before a release writes anything: each check says what to fix, and all are reported together."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from typing import Any

from stackhand.aws import session
from stackhand.aws.errors import CANNOT_TELL, code_of, failure, message_of
from stackhand.cli.failure import ExitCode, Failure
from stackhand.project.environments import Environment
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.ecs.states import scale_up, wanting_none
from stackhand.release.ecs.task_definitions import PLACEHOLDER
from stackhand.release.target import ServiceTarget, Target

TASKS = "ecs-tasks.amazonaws.com"
ROLES = ("executionRoleArn", "taskRoleArn")
CHECKS = (
    "services",
    "architecture",
    "roles",
    "secrets",
    "log_groups",
    "target_groups",
    "network",
    "images",
    "schedules",
)
"""The methods of Preflight, in the order of what they report."""


class Preflight:
    """The checks on an environment.

    Args:
        digests: of the built images, by service; without any, images are not checked.
    """

    def __init__(self, environment: Environment, target: Target, digests: Mapping[str, str]) -> None:
        self.environment, self.target, self.digests = environment, target, digests
        self.idle: list[str] = []
        self.notes: list[str] = []
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def run(self) -> list[str]:
        """Check everything at the same time, and return what could not be checked.

        Raises:
            Failure: a release would fail; all reasons together.
        """
        name = self.target.environment
        with ThreadPoolExecutor(len(CHECKS), thread_name_prefix="preflight") as pool:
            found = [*pool.map(self._run, CHECKS)]
        problems = [problem for each, _ in found for problem in each]
        if problems:
            raise Failure(
                f"{name} is not ready for a release; nothing was changed.",
                evidence=problems,
                next=f"{scale_up(self.target, self.idle)}; then ./inv deploy -e {name}"
                if len(problems) == len(self.idle)
                else f"./inv plan -e {name} shows what Terraform would fix",
                code=ExitCode.PREFLIGHT,
            )
        return [note for _, notes in found for note in notes]

    def _run(self, check: str) -> tuple[list[str], list[str]]:
        """Return the problems that a check finds, and its notes."""
        own = copy(self)
        own.notes = []
        return [*getattr(own, check)()], own.notes

    def services(self) -> Iterator[str]:
        """The cluster has the services, and each has tasks; what else the cluster has is noted."""
        wanted = {name: each.service for name, each in self.target.services.items()}
        ecs = Cluster(self._client("ecs"), self.target.cluster)
        inventory = self._ask("services", lambda: ecs.inventory(wanted.values()))
        if inventory is None:
            return
        for name, service in wanted.items():
            if not inventory or service not in inventory.services:
                yield f"{name}: the cluster {self.target.cluster} has no active service {service}"
        if inventory:
            self.idle += inventory.idle(self.target)
            yield from wanting_none(self.environment, self.target, self.idle)
            extra = inventory.others(self.target)
            self.notes += [f"{name} is in the cluster but not in this release: it stays unchanged" for name in extra]
            self.notes += [inventory.note] * bool(inventory.note)

    def architecture(self) -> Iterator[str]:
        """The tasks run on the processors that images are built for."""
        for name, service in self.target.built().items():
            platform = service.task_definition.get("runtimePlatform") or {}
            wanted = platform.get("cpuArchitecture", "X86_64")
            if wanted != self.target.architecture:
                built = self.target.architecture
                yield f"{name}: its task definition is for {wanted}, but images are built for {built}"

    def roles(self) -> Iterator[str]:
        """The roles of the tasks exist."""
        answers: dict[str, Any] = {}
        arns = ((name, task.task_definition.get(key)) for name, task in self.target.tasks().items() for key in ROLES)
        for name, arn in arns:
            if not arn:
                continue
            role = str(arn).rpartition("/")[2]
            if role not in answers:
                answers[role] = self._ask(f"role {role}", partial(self._client("iam").get_role, RoleName=role))
            answer = answers[role]
            if answer == {}:
                yield f"{name}: there is no role {role}"
            trust = (answer or {}).get("Role", {}).get("AssumeRolePolicyDocument")
            if trust and TASKS not in json.dumps(trust):
                yield f"{name}: {TASKS} may not assume the role {role}"

    def secrets(self) -> Iterator[str]:
        """Every secret is there, by its name; their values are not asked for."""
        wanted = self.target.parameters()
        versions = self._ask("secrets", lambda: session.parameter_versions(self._client("ssm"), [*wanted]))
        for name, services in wanted.items():
            if versions is not None and name not in versions:
                yield f"{', '.join(services)}: there is no parameter {name}"

    def log_groups(self) -> Iterator[str]:
        """The log groups exist, or the first container of each task would fail."""
        for group in sorted({each.log_group for each in self.target.tasks().values()}):
            answer = self._ask(
                f"log group {group}", partial(self._client("logs").describe_log_groups, logGroupNamePrefix=group)
            )
            if answer is not None and group not in {each["logGroupName"] for each in answer.get("logGroups", [])}:
                yield f"there is no log group {group}"

    def target_groups(self) -> Iterator[str]:
        """The load balancer asks each service where it listens."""
        for name, service in self.target.services.items():
            if not service.target_group:
                continue
            ask = partial(self._client("elbv2").describe_target_groups, TargetGroupArns=[service.target_group])
            answer = self._ask(f"target group of {name}", ask)
            if answer == {}:
                yield f"{name}: there is no target group {service.target_group}"
            for group in (answer or {}).get("TargetGroups", []):
                if group.get("TargetType", "ip") != "ip":
                    yield f"{name}: its target group takes {group['TargetType']}, but Fargate tasks need ip"
                if group.get("HealthCheckPath") not in {None, service.health_path}:
                    yield f"{name}: the load balancer checks {group['HealthCheckPath']}, not {service.health_path}"

    def network(self) -> Iterator[str]:
        """The subnets and security groups exist, and the tasks reach ECR and the logs: by a route, or by endpoints."""
        if not any(each.subnets for each in self.target.services.values()):
            return
        if self.environment.emulated:
            self.notes.append("not checked, subnets: an emulator's tasks need no route")
            return
        yield from self._ask("subnets", lambda: [*problems(self._client("ec2"), self.target.services)]) or []

    def images(self) -> Iterator[str]:
        """The images are in ECR, by their digest; one of somebody else that has none is noted."""
        for name, task in self.target.tasks().items():
            images = [str(each["image"]) for each in task.task_definition["containerDefinitions"]]
            by_tag = [each for each in images if each != PLACEHOLDER and "@sha256:" not in each]
            self.notes += [f"{name}: {each} has no digest: tasks run what its tag points to then" for each in by_tag]
        for name, service in self.target.built().items():
            if name not in self.digests or service.repository is None:
                continue
            ids = [{"imageDigest": self.digests[name]}]
            ask = partial(self._client("ecr").describe_images, repositoryName=service.repository.name, imageIds=ids)
            image = self._ask(f"image of {name}", ask)
            if image == {}:
                yield f"{name}: {service.repository.name} has no image {self.digests[name]}"

    def schedules(self) -> Iterator[str]:
        """The schedules exist, for a release is to set what they start."""
        for name, job in self.target.jobs.items():
            if job.schedule is None:
                continue
            where = {"Name": job.schedule.name, "GroupName": job.schedule.group}
            answer = self._ask(f"schedule of {name}", partial(self._client("scheduler").get_schedule, **where))
            if answer == {}:
                yield f"{name}: there is no schedule {job.schedule.name} in the group {job.schedule.group}"

    def _client(self, name: str) -> Any:
        with self._lock:  # boto3 makes clients in one thread only; what it has made serves all
            if name not in self._clients:
                self._clients[name] = self.environment.client(name)
            return self._clients[name]

    def _ask(self, what: str, question: Callable[[], Any]) -> Any:
        """Return the answer; an empty one when there is no such thing, None when it cannot be checked."""
        try:
            return question()
        except Exception as error:
            code = code_of(error)
            if "NotFound" in code or code == "NoSuchEntity":
                return {}
            if code in CANNOT_TELL:
                self.notes.append(f"not checked, {what}: {message_of(error)}")
                return None
            raise failure(f"The {what} cannot be checked", error, ExitCode.PREFLIGHT) from error


def problems(ec2: Any, services: Mapping[str, ServiceTarget]) -> Iterator[str]:
    """Yield what would keep tasks from starting: what was deleted, and subnets without a way to AWS."""
    subnets = _users(services, "subnets")
    routed, groups = egress(ec2, [*subnets]), _users(services, "security_groups")
    known = _groups(ec2, [*groups])
    for kind, users, there in (("subnet", subnets, routed.keys()), ("security group", groups, known)):
        for name in users:
            if name not in there:
                yield f"{', '.join(users[name])}: the {kind} {name} no longer exists: somebody deleted it"
    for subnet, way in routed.items():
        if not way:
            yield f"the subnet {subnet} has no egress route and its network no endpoints: tasks could not pull images"


def egress(ec2: Any, subnets: Sequence[str]) -> dict[str, bool]:
    """Return for each subnet there is whether its network has a way to AWS; one that was deleted is missing."""
    # Asked by a filter, for one id that does not exist would be an error about all of them.
    there = ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": list(subnets)}])["Subnets"]
    networks = {each["SubnetId"]: each["VpcId"] for each in there}
    vpcs = sorted(set(networks.values()))
    if not vpcs:
        return {}
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": vpcs}])["RouteTables"]
    ends = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": vpcs}])["VpcEndpoints"]
    with_endpoint = {each["VpcId"] for each in ends if ".ecr." in each.get("ServiceName", "")}
    return {
        subnet: networks[subnet] in with_endpoint or _has_route(_table_of(tables, subnet, networks[subnet]))
        for subnet in subnets
        if subnet in networks
    }


def _groups(ec2: Any, groups: Sequence[str]) -> frozenset[str]:
    """Return those of the security groups that exist."""
    answer = ec2.describe_security_groups(Filters=[{"Name": "group-id", "Values": list(groups)}])["SecurityGroups"]
    return frozenset(each["GroupId"] for each in answer)


def _users(services: Mapping[str, ServiceTarget], field: str) -> dict[str, list[str]]:
    """Return which services use each subnet or security group."""
    users: dict[str, list[str]] = {}
    for name, service in services.items():
        for each in getattr(service, field):
            users.setdefault(each, []).append(name)
    return dict(sorted(users.items()))


def _table_of(tables: list[dict[str, Any]], subnet: str, vpc: str) -> dict[str, Any]:
    def associated(table: dict[str, Any], key: str, value: Any) -> bool:
        return any(each.get(key) == value for each in table.get("Associations", []))

    own = [each for each in tables if associated(each, "SubnetId", subnet)]
    main = [each for each in tables if each.get("VpcId") == vpc and associated(each, "Main", True)]
    return next(iter(own + main), {})


def _has_route(table: dict[str, Any]) -> bool:
    return any(
        each.get("DestinationCidrBlock") == "0.0.0.0/0" and each.get("State", "active") == "active"
        for each in table.get("Routes", [])
    )
