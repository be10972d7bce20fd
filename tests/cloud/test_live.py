"""`./inv check -e staging --live`, against moto and an ECS of our own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import boto3
import pytest

from stackhand.cli.failure import Exit, ExitCode
from stackhand.project import environments
from stackhand.release import live
from stackhand.release.context import find
from stackhand.release.live import Live, LiveCheck
from tests.cloud.conftest import SERVICES, Cloud, _repository
from tests.cloud.fake_rollout import ACCOUNT, CLUSTER, REGION
from tests.cloud.test_stages import release


@pytest.fixture
def running(held: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An environment with a release."""
    monkeypatch.setattr(environments, "load", lambda _name: held.environment)
    release(held, "first")
    return held


def found(monkeypatch: pytest.MonkeyPatch, told: str = "") -> dict[str, LiveCheck]:
    """What each check says, by its name; and CloudWatch of the alarm's action, which moto has no history of."""
    monkeypatch.setattr(live, "_action", lambda *_: told)
    return {each.name: each for each in live.checks(Live(find("staging"), polls=(0.0, 0.0)))}


def alarms(cloud: Cloud) -> str:
    """Make the alarms and their topic as Terraform does, and return the topic."""
    name, client = f"{cloud.environment.stack}-staging", cloud.environment.client
    topic: str = client("sns").create_topic(Name=f"{name}-alarms")["TopicArn"]
    alarm: dict[str, Any] = {"Namespace": "AWS/ECS", "MetricName": "CPUUtilization"}
    alarm |= {"ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1, "Threshold": 1.0, "Period": 60}
    for service in SERVICES:
        given = {**alarm, "AlarmName": f"{name}-{service}-cpu", "Statistic": "Average", "AlarmActions": [topic]}
        client("cloudwatch").put_metric_alarm(**given)
    return topic


def key_and_logs(cloud: Cloud) -> None:
    """Make the key and the bucket of the load balancer's log, with what AWS writes first."""
    name, client = f"{cloud.environment.stack}-staging", cloud.environment.client
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    client("kms").create_alias(AliasName=f"alias/{name}", TargetKeyId=key)
    client("kms").enable_key_rotation(KeyId=key)
    bucket = f"{name}-{ACCOUNT}-access-logs"
    client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    client("s3").put_object(Bucket=bucket, Key=f"AWSLogs/{ACCOUNT}/ELBAccessLogTestFile", Body=b"x")


def scale(cloud: Cloud, service: str) -> None:
    """Register a service of the cluster for autoscaling; moto wants to have it, too."""
    ecs = boto3.client("ecs", region_name=REGION, endpoint_url=cloud.settings["AWS_ENDPOINT_URL"])
    ecs.create_cluster(clusterName=CLUSTER)
    ecs.register_task_definition(family=service, containerDefinitions=[{"name": service, "image": "x", "memory": 64}])
    ecs.create_service(cluster=CLUSTER, serviceName=f"shop-{service}", taskDefinition=service, desiredCount=1)
    about = {"ServiceNamespace": "ecs", "ScalableDimension": "ecs:service:DesiredCount"}
    about["ResourceId"] = f"service/{CLUSTER}/shop-{service}"
    client = cloud.environment.client("application-autoscaling")
    client.register_scalable_target(**about, MinCapacity=1, MaxCapacity=3)
    metric = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}
    tracking = {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 60.0, **metric}}
    client.put_scaling_policy(**about, PolicyName="cpu", PolicyType="TargetTrackingScaling", **tracking)


def test_a_table_says_what_works_and_what_does_not(
    running: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    topic = alarms(running)
    before = found(monkeypatch, "Failed to execute action: KMS access denied")
    assert {name for name, each in before.items() if each.verdict == "fails"} >= {
        "alarm",
        "recipient",
        *(f"scaling of {name}" for name in SERVICES),
        *(f"scan of {name}" for name in SERVICES),
    }
    assert before["scaling of web"].message == "is not registered"
    assert before["recipient"].message == "no alarm reaches anybody: there is none"
    assert before["events"].verdict == "unknown"
    assert (
        before["keys"].verdict == before["records"].verdict == "unknown"
    )  # which AWS does not let us ask, with its words
    assert before["keys"].message
    assert before["shell in api"].message == "has none (exec = false), or no task"

    running.environment.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    key_and_logs(running)
    images = running.environment.client("ecr")
    for name in SERVICES:
        scale(running, name)
        repository = _repository(running.environment.stack, name)
        images.start_image_scan(repositoryName=repository, imageId={"imageTag": "first"})
        task = running.world.start(name)
        entry = next(each for arn, each in running.world.tasks.items() if arn.endswith(task))
        agent = {"name": live.AGENT, "lastStatus": "RUNNING" if name == "api" else "STOPPED"}
        entry["containers"][0]["managedAgents"] = [agent]
    after = found(monkeypatch, "Successfully executed action")
    assert {name for name, each in after.items() if each.verdict == "fails"} == {"shell in web"}
    assert after["shell in web"].message == "its agent is STOPPED"
    for name in ("alarm", "recipient", "shell in api", "scaling of web", "scan of api", "rotation of the key"):
        assert after[name].verdict == "works", after[name]
    assert after["access logs"].message == "arrive"
    names = f"{running.environment.stack}-staging-"
    made = running.environment.client("cloudwatch").describe_alarms(AlarmNamePrefix=names)["MetricAlarms"]
    assert ("OK", live.OVER) in [(each["StateValue"], each.get("StateReason")) for each in made]

    monkeypatch.setattr(live, "checks", lambda _live: [*after.values()])
    for as_json in (True, False):
        with pytest.raises(Exit) as caught:
            live.check(environment="staging", json=as_json)
        assert caught.value.code == ExitCode.UNHEALTHY
        shown = capsys.readouterr().out
        assert '"verdict": "works"' in shown if as_json else "1 do not work" in shown


def test_the_access_log_of_an_existing_load_balancer_is_its_owners(
    running: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = replace(running.environment, variables={"load_balancer": "shared"})
    monkeypatch.setattr(environments, "load", lambda _name: environment)
    assert [*live.records(Live(find("staging"), polls=(0.0, 0.0)))] == []
