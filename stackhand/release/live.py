"""`./inv check -e ENV --live`: what only AWS can show after a deploy, as a table (docs/first-account.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from stackhand.aws.errors import code_of, failure_of
from stackhand.cli import console
from stackhand.cli.failure import Exit, ExitCode
from stackhand.release.context import EnvironmentState, find
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.target import Targets
from stackhand.system import waiting

STYLES = {"works": "green", "fails": "bold red", "unknown": "yellow"}
HEADINGS = ("", "looked at", "found", "fix")
LABELS = {"works": "work", "fails": "do not work", "unknown": "are unknown"}
DELIVERED_WITHIN = 30.0
"""Seconds until CloudWatch's history says what became of an alarm's action."""
SCANNED = frozenset({"COMPLETE", "ACTIVE"})
AGENT = "ExecuteCommandAgent"
RAISED, OVER = "./inv check --live: a test, nothing is wrong", "./inv check --live: the test is over"
"""What the mail of an alarm says."""
RECENT = timedelta(days=1)
Verdict = Literal["works", "fails", "unknown"]


def check(*, environment: str, json: bool) -> None:
    """Check an environment that runs.

    Raises:
        Failure: it is not known, or nothing was ever released to it.
        Exit: something does not work.
    """
    found = checks(Live(find(environment)))
    if json:
        console.document({"environment": environment, "checks": found})
    else:
        console.table([(each.verdict, each.name, each.message, each.remedy) for each in found], HEADINGS, STYLES)
        console.write(f"\n{environment}: {summary(found)}")
    if any(each.verdict == "fails" for each in found):
        raise Exit(ExitCode.UNHEALTHY)


def checks(live: Live) -> list[LiveCheck]:
    """Return what each check finds; what AWS does not let us ask is unknown, with its reason."""
    found = []
    for each in CHECKS:
        try:
            found += list(each(live))
        except Exception as error:
            if (failure := failure_of(error)) is None:
                raise
            found.append(LiveCheck(each.__name__, "unknown", " ".join([failure.what, *failure.evidence[:1]])))
    return found


def summary(found: Iterable[LiveCheck]) -> str:
    """Return how many work, fail, and are unknown."""
    verdicts: list[str] = [each.verdict for each in found]
    return ", ".join(f"{verdicts.count(name)} {label}" for name, label in LABELS.items() if verdicts.count(name))


class LiveCheck(msgspec.Struct, frozen=True):
    """What one check found.

    Args:
        name: what was looked at.
        verdict: whether it works, fails, or cannot be told, which is no failure.
        message: what was found.
        remedy: what to do where it fails.
    """

    name: str
    verdict: Verdict
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Live:
    """An environment that is looked at.

    Args:
        state: what its bucket knows.
        polls: how long an alarm's delivery is waited for, and how often it is asked for: seconds.
    """

    state: EnvironmentState
    polls: tuple[float, float] = (DELIVERED_WITHIN, 1.0)

    def client(self, service: str) -> Any:
        """Return boto3's client."""
        return self.state.environment.client(service)

    @property
    def name(self) -> str:
        """What its resources' names begin with."""
        return f"{self.state.environment.stack}-{self.state.environment.name}"


def alarm(live: Live) -> Iterator[LiveCheck]:
    """Raise an alarm and take it back: whether its action was executed, and whether it reaches anybody."""
    client, service = live.client("cloudwatch"), next(iter(live.state.target.services))
    name, began = f"{live.name}-{service}-cpu", datetime.now(UTC)
    try:
        client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason=RAISED)
        outcome = next((each for _ in waiting.polls(*live.polls) if (each := _action(client, name, began))), "")
    finally:
        client.set_alarm_state(AlarmName=name, StateValue="OK", StateReason=OVER)
    if outcome.startswith("Successfully"):
        yield LiveCheck("alarm", "works", f"{name} was raised for a moment, and its action executed")
    elif outcome:
        yield LiveCheck("alarm", "fails", outcome, "terraform/kms.tf and the topic's policy let CloudWatch publish")
    else:
        yield LiveCheck("alarm", "unknown", f"CloudWatch does not say within {live.polls[0]:g} s what became of {name}")
    region, account = live.state.environment.region, live.state.environment.account
    topic = f"arn:aws:sns:{region}:{account}:{live.name}-alarms"
    arns = [
        each["SubscriptionArn"]
        for each in _pages(live, "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic)
    ]
    if confirmed := [each for each in arns if each.startswith("arn:")]:
        yield LiveCheck("recipient", "works", f"{len(confirmed)} confirmed")
    else:
        what = "has not opened the link in AWS's mail" if arns else "there is none"
        remedy = "alarm_email, and the link in its mail"
        yield LiveCheck("recipient", "fails", f"no alarm reaches anybody: {what}", remedy)


def _action(client: Any, name: str, began: datetime) -> str:
    """Return what CloudWatch says of the newest action of an alarm since a time; empty while it says nothing."""
    answer = client.describe_alarm_history(
        AlarmName=name, HistoryItemType="Action", StartDate=began - timedelta(seconds=5), EndDate=datetime.now(UTC)
    )
    return next((str(each["HistorySummary"]) for each in answer.get("AlarmHistoryItems", [])), "")


def events(live: Live) -> Iterator[LiveCheck]:
    """Whether what ECS reports of a failed deployment was delivered, as far as there was any."""
    dimensions = [{"Name": "RuleName", "Value": f"{live.name}-rolled-back"}]
    now = datetime.now(UTC)
    sums = {
        metric: sum(
            each["Sum"]
            for each in live.client("cloudwatch").get_metric_statistics(
                Namespace="AWS/Events", MetricName=metric, Dimensions=dimensions, Statistics=["Sum"],
                StartTime=now - RECENT, EndTime=now, Period=86400,
            )["Datapoints"]
        )
        for metric in ("Invocations", "FailedInvocations")
    }  # fmt: skip
    if sums["FailedInvocations"]:
        remedy = "events.amazonaws.com needs the topic's key, without aws:SourceAccount"
        yield LiveCheck("events", "fails", f"{sums['FailedInvocations']:.0f} were not delivered today", remedy)
    elif sums["Invocations"]:
        yield LiveCheck("events", "works", f"{sums['Invocations']:.0f} delivered today")
    else:
        yield LiveCheck("events", "unknown", "no deployment failed today: docs/first-account.md says how to see one")


def shell(live: Live) -> Iterator[LiveCheck]:
    """Whether the agent of ECS Exec runs in the newest task of each service that has it."""
    ecs, target = live.client("ecs"), live.state.target
    for name, service in target.services.items():
        task = Cluster(ecs, target.cluster).newest_task(service.service)
        found = ecs.describe_tasks(cluster=target.cluster, tasks=[task])["tasks"] if task else []
        agents = [
            each for one in found for container in one["containers"] for each in container.get("managedAgents", [])
        ]
        states = {each["lastStatus"] for each in agents if each["name"] == AGENT}
        if states == {"RUNNING"}:
            yield LiveCheck(f"shell in {name}", "works", "its agent runs")
        elif states:
            remedy = "a writable root file system, and capabilities: ./inv check --cloud names them"
            yield LiveCheck(f"shell in {name}", "fails", f"its agent is {', '.join(sorted(states))}", remedy)
        else:
            yield LiveCheck(f"shell in {name}", "unknown", "has none (exec = false), or no task")


def scaling(live: Live) -> Iterator[LiveCheck]:
    """Whether each service is registered for autoscaling, with policies, and not suspended."""
    client, target = live.client("application-autoscaling"), live.state.target
    for name, service in target.services.items():
        about = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
        resource = f"service/{target.cluster}/{service.service}"
        targets = client.describe_scalable_targets(ResourceIds=[resource], **about)["ScalableTargets"]
        policies = client.describe_scaling_policies(ResourceId=resource, **about)["ScalingPolicies"]
        suspended = any(value for each in targets for value in (each.get("SuspendedState") or {}).values())
        if targets and policies and not suspended:
            bounds = f"{targets[0]['MinCapacity']} to {targets[0]['MaxCapacity']} tasks"
            yield LiveCheck(f"scaling of {name}", "works", f"{bounds}, {len(policies)} policies")
        else:
            what = "suspended" if suspended else "not registered" if not targets else "without a policy"
            yield LiveCheck(f"scaling of {name}", "fails", f"is {what}", f"./inv plan -e {target.environment}")


def targets(live: Live) -> Iterator[LiveCheck]:
    """Whether the load balancer finds the tasks of each service with paths healthy."""
    groups = Targets(live.client("elbv2"), live.state.target)
    for name, service in live.state.target.services.items():
        if service.target_group:
            states = [each.state for each in groups.of(service)]
            good = states.count("healthy")
            verdict: Verdict = "works" if good and good == len(states) else "fails"
            remedy = "" if verdict == "works" else f"./inv cloud.logs -e {live.state.environment.name} {name}"
            yield LiveCheck(f"targets of {name}", verdict, f"{good} of {len(states)} are healthy", remedy)


def scans(live: Live) -> Iterator[LiveCheck]:
    """Whether ECR has scanned the images that run."""
    for name, service in live.state.target.services.items():
        part = live.state.newest.services.get(name)
        digest = part.image.partition("@")[2] if part else ""
        if service.repository and digest:
            status = _scan(live.client("ecr"), service.repository.name, digest)
            if status in SCANNED:
                yield LiveCheck(f"scan of {name}", "works", status.lower())
            else:
                remedy = "scan on push, or enhanced scanning, in this account's ECR"
                yield LiveCheck(f"scan of {name}", "fails", f"is {status.lower() or 'not there'}", remedy)


def _scan(client: Any, repository: str, digest: str) -> str:
    """Return what became of an image's scan; empty where there was none."""
    try:
        answer = client.describe_image_scan_findings(repositoryName=repository, imageId={"imageDigest": digest})
    except Exception as error:
        if code_of(error) != "ScanNotFoundException":
            raise
        return ""
    return str((answer.get("imageScanStatus") or {}).get("status", ""))


def keys(live: Live) -> Iterator[LiveCheck]:
    """Whether the environment's key is renewed each year."""
    client = live.client("kms")
    key = client.describe_key(KeyId=f"alias/{live.name}")["KeyMetadata"]["KeyId"]
    enabled = client.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    message = "on" if enabled else "off, or changed by hand"
    yield LiveCheck("rotation of the key", "works" if enabled else "fails", message)


def databases(live: Live) -> Iterator[LiveCheck]:
    """Whether each database can be restored to a time, and waits for nothing."""
    for each in _pages(live, "rds", "describe_db_instances", "DBInstances"):
        if each["DBInstanceIdentifier"].startswith(f"{live.name}-"):
            name, latest = f"backups of {each['DBInstanceIdentifier']}", each.get("LatestRestorableTime")
            waiting_for = ", ".join(sorted(each.get("PendingModifiedValues") or {}))
            if latest:
                more = f"; {waiting_for} waits for its maintenance window" if waiting_for else ""
                yield LiveCheck(name, "works", f"to {latest:%Y-%m-%d %H:%M} UTC{more}")
            else:
                yield LiveCheck(name, "unknown", "no time to restore to yet: the first backup takes some minutes")


def records(live: Live) -> Iterator[LiveCheck]:
    """Whether the load balancer may write its log, and the network its refused connections."""
    if not live.state.environment.variables.get("load_balancer"):  # the log of an existing one is its owner's
        yield _access_log(live)
    labels = {"Stack": live.state.environment.stack, "Environment": live.state.environment.name}
    tags = [{"Name": f"tag:{key}", "Values": [value]} for key, value in labels.items()]
    for each in live.client("ec2").describe_flow_logs(Filters=tags)["FlowLogs"]:
        failed = each.get("DeliverLogsErrorMessage") or ""
        verdict: Verdict = "fails" if each.get("DeliverLogsStatus") == "FAILED" else "works"
        yield LiveCheck("flow logs", verdict, failed or "delivered", "the role of the flow log" if failed else "")


def _access_log(live: Live) -> LiveCheck:
    bucket = f"{live.name}-{live.state.environment.account}-access-logs"
    there = live.client("s3").list_objects_v2(Bucket=bucket, Prefix="AWSLogs/", MaxKeys=1).get("KeyCount", 0)
    remedy = "" if there else "the bucket's policy lets logdelivery.elasticloadbalancing.amazonaws.com write"
    return LiveCheck("access logs", "works" if there else "fails", "arrive" if there else "none arrived", remedy)


def _pages(live: Live, service: str, operation: str, key: str, **given: str) -> Iterator[Any]:
    for page in live.client(service).get_paginator(operation).paginate(**given):
        yield from page[key]


CHECKS: tuple[Callable[[Live], Iterator[LiveCheck]], ...] = (
    *(targets, scaling, shell, scans, alarm, events, databases, keys, records),
)
