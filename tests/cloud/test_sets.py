"""Releases that do not have the same services, lack an image, or whose services are scaled to 0."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackhand.cli.failure import Exit, ExitCode, Failure
from stackhand.project import environments
from stackhand.release import status, target
from stackhand.release.context import Timing
from stackhand.release.ecs import states
from stackhand.release.manifest import Manifest, ReleasedService
from stackhand.release.stages import prepare, rollback, rollout, verification
from stackhand.release.stages.preflight import Preflight
from tests.cloud.conftest import Cloud
from tests.cloud.fake_ecs import definition
from tests.cloud.fake_rollout import ACCOUNT, CLUSTER, REGION
from tests.cloud.test_stages import refused, release, running

ELSEWHERE = "docker.io/acme/worker:1"
GONE = "web: the cluster shop-staging no longer has the service"
SCALE_UP = f"aws ecs update-service --region {REGION} --cluster {CLUSTER} --service shop-api --desired-count 1"


def rename(cloud: Cloud) -> None:
    """Call the web service frontend, and let Terraform apply that."""
    cloud.output["services"]["frontend"] = cloud.output["services"].pop("web") | {"service": "shop-frontend"}
    cloud.world.create("frontend", "placeholder")
    cloud.world.delete("web")


def digests(cloud: Cloud, commit: str, **outcome: Any) -> dict[str, str]:
    """Return the digests of a commit whose web service is called frontend."""
    found = cloud.image(commit, **outcome)
    return {"api": found["api"], "frontend": found["web"]}


def add_worker(cloud: Cloud) -> str:
    """Add a service whose image somebody else builds, let Terraform apply that, and return what it runs then."""
    new = {**cloud.output["services"]["web"], "service": "shop-worker", "container": "worker", "repository": None}
    new |= {"task_definition": definition("worker", ELSEWHERE), "paths": [], "health_path": None, "probe": True}
    cloud.output["services"]["worker"] = new
    cloud.world.create("worker", "placeholder")
    return primary(cloud, "worker")


def primary(cloud: Cloud, name: str) -> str:
    deployments = cloud.world.services[f"shop-{name}"]["deployments"]
    return str(next(each["taskDefinition"] for each in deployments if each["status"] == "PRIMARY"))


def repository(cloud: Cloud) -> str:
    return str(cloud.output["services"]["api"]["repository"]["name"])


def forget_image(cloud: Cloud, commit: str) -> None:
    """Have ECR expire the api's image of a commit."""
    ids = [{"imageDigest": cloud.image(commit)["api"]}]
    cloud.environment.client("ecr").batch_delete_image(repositoryName=repository(cloud), imageIds=ids)


def untouched(cloud: Cloud, good: Manifest) -> Failure:
    """Return why a rollback is refused; nothing may have been ordered or registered."""
    before = cloud.world.updates(), len(cloud.world.definitions)
    with pytest.raises(Failure) as found:
        prepare.prepare_rollback(cloud.context, good)
    assert (cloud.world.updates(), len(cloud.world.definitions)) == before
    assert found.value.code == ExitCode.PREFLIGHT
    return found.value


def test_a_rollback_to_a_release_whose_service_is_gone_is_refused_untouched(held: Cloud) -> None:
    first = release(held, "first")
    rename(held)
    release(held, "second", digests(held, "second"))
    failure = untouched(held, first)
    assert (
        failure.what == "first cannot run in staging again: something it needs no longer exists; nothing was changed."
    )
    assert failure.evidence == (GONE, "the cluster has: shop-api, shop-frontend")
    assert failure.next == "git checkout first, then ./inv deploy -e staging --allow-older creates it again"


def test_a_failed_rename_moves_nothing_back_and_names_what_is_left(held: Cloud) -> None:
    release(held, "first")
    rename(held)
    ordered = held.world.updates() + 2
    failure = refused(held, "second", digests=digests(held, "second", kind="fails", exit=1))
    assert (failure.code, held.world.updates()) == (ExitCode.DEPLOY_FAILED, ordered)
    assert failure.what.endswith(f"frontend failed; no rollback: {GONE}.")
    assert any(line.startswith("frontend: shop-") and "it stays as updated" in line for line in failure.evidence)
    assert [*next(held.context.releases.newest_first()).extra] == ["frontend"]


def test_a_service_that_a_failed_release_added_returns_to_what_it_ran_before(held: Cloud) -> None:
    release(held, "first")
    before = add_worker(held)
    held.context.timing = Timing(timeout=20.0, probe_timeout=4.0)
    assert refused(held, "second", kind="hangs").code == ExitCode.STILL_ROLLING  # but the worker, which is new, runs
    held.context.timing = Timing(probe_timeout=4.0)
    failure = refused(held, "third", kind="fails", exit=1)
    assert failure.code == ExitCode.ROLLED_BACK
    assert primary(held, "worker") == before
    assert "worker: first does not have it; it returns to what it ran before, shop-worker:1" in failure.evidence
    assert next(held.context.releases.newest_first()).extra == {"worker": before}


def test_a_rollback_names_the_service_that_stays_and_status_shows_it(
    held: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "load", lambda _name: held.environment)
    first = release(held, "first")
    add_worker(held)
    release(held, "second")
    back = rollout.roll(held.context, prepare.prepare_rollback(held.context, first), held.context.releases.current())
    verification.probe(held.context, back)
    report = verification.report(verification.record(held.context, back)[1], changed=True)
    assert running(held) == {"first"}
    assert "shop-worker: first does not have it; it stays on shop-worker:2" in held.said
    assert report.extra == {"shop-worker": primary(held, "worker")}
    verification.show_release(report)
    assert "  shop-worker  shop-worker:2  unchanged: first does not have it\n" in capsys.readouterr().out
    status.status(environment="staging", json=True)
    found = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["state"], each["commit"]) for each in found["services"]] == [
        ("api", "running", "first"),
        ("web", "running", "first"),
        ("shop-worker", "running", "second"),
    ]
    assert found["drift"] == ["shop-worker: runs shop-worker:2, but is not in the last good release"]
    held.world.delete("web")
    with pytest.raises(Exit):
        status.status(environment="staging", json=True)
    assert '"state": "missing"' in capsys.readouterr().out


def test_a_rollback_to_an_image_that_is_gone_is_refused_untouched(held: Cloud) -> None:
    first, second = release(held, "expired"), release(held, "kept")
    forget_image(held, "expired")
    digest = first.services["api"].image.partition("@")[2]
    assert untouched(held, first).evidence == (f"api: ECR no longer has its image {repository(held)}@{digest}",)
    assert prepare.prepare_rollback(held.context, second).of == second.id
    held.world.definitions.pop(first.services["web"].task_definition)
    assert "web: ECS no longer has the task definition shop-web:2" in untouched(held, first).evidence


def test_a_failed_release_does_not_return_to_an_image_that_is_gone(held: Cloud) -> None:
    release(held, "expired2")
    forget_image(held, "expired2")
    ordered = held.world.updates() + 2
    failure = refused(held, "second", healthy=False)
    assert (failure.code, held.world.updates()) == (ExitCode.DEPLOY_FAILED, ordered)
    assert f"no rollback: api: ECR no longer has its image {repository(held)}@sha256:" in failure.what


def test_what_can_be_known_of_an_image_that_somebody_else_builds(held: Cloud) -> None:
    first, pinned = release(held, "first"), f"redis@sha256:{'a' * 64}"
    known = {
        ELSEWHERE: f"not checked, image of web: {ELSEWHERE} is not in ECR; its tag may have moved since",
        pinned: f"not checked, image of web: {pinned} is not in ECR",
        f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/hub/redis:7": "web: ECR no longer has its image hub/redis:7",
    }
    for image, expected in known.items():
        first.services["web"] = ReleasedService(first.services["web"].task_definition, image)
        problems, notes = rollback.check(held.context, first, ["web"])
        assert [*problems, *notes] == [expected]


def test_a_service_that_is_scaled_to_0_is_refused_with_the_command_that_scales_it_up(held: Cloud) -> None:
    first, second = release(held, "first"), release(held, "second")
    held.world.scale("api", 0)
    refusals = [
        lambda: Preflight(held.environment, target.parse(held.output), {}).run(),
        lambda: prepare.prepare_rollback(held.context, first),
        lambda: rollout.resume(held.context, second, first),
    ]
    for each in refusals:
        with pytest.raises(Failure) as found:
            each()
        assert found.value.code == ExitCode.PREFLIGHT
        assert found.value.evidence == ("api wants 0 tasks",)
        assert found.value.next.startswith(SCALE_UP)
        back = each is refusals[1]  # on the definition that it returns to: the present one may be why it was stopped
        assert (first.services["api"].task_definition in found.value.next) is back


@pytest.mark.parametrize(
    ("autoscaling", "reasons"),
    [
        ({"MinCapacity": 1}, []),
        ({"MinCapacity": 0}, ["its autoscaling allows 0"]),
        (
            {"MinCapacity": 1, "SuspendedState": {"DynamicScalingOutSuspended": True}},
            ["its autoscaling is suspended"],
        ),
    ],
)
def test_what_keeps_a_service_at_0(autoscaling: dict[str, Any], reasons: list[str]) -> None:
    assert states.reasons(autoscaling) == reasons


def test_a_probe_that_fails_for_there_are_0_tasks_says_so(
    held: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "load", lambda _name: held.environment)
    release(held, "first")
    held.world.scale("api", 0)
    failure = refused(held, "second")
    assert "failed: 0 tasks desired for api; first runs again, but is unhealthy" in failure.what
    assert "api wants 0 tasks" in failure.evidence
    with pytest.raises(Exit) as found:
        status.status(environment="staging", json=False)
    assert found.value.code == ExitCode.UNHEALTHY
    assert "stopped" in capsys.readouterr().out


def test_what_else_the_cluster_has_is_noted_before_a_deploy(held: Cloud) -> None:
    held.world.create("theirs", "somebody/else:1")
    check = Preflight(held.environment, target.parse(held.output), {})
    assert check.run() == ["shop-theirs is in the cluster but not in this release: it stays unchanged"]
    held.world.fail("ListServices", "AccessDeniedException")
    assert check.run()[-1].startswith("not checked, other services of the cluster shop-staging: AccessDenied")
