"""A release, stage by stage, against an ECS that does what the test says."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from stackhand.cli.failure import ExitCode, Failure
from stackhand.release import target
from stackhand.release.context import Timing
from stackhand.release.manifest import KnownMigration, Manifest
from stackhand.release.stages import acquire, migration, prepare, rollout, verification
from tests.cloud.conftest import BILL, SERVICES, Cloud
from tests.cloud.fake_ecs import definition
from tests.cloud.fake_refusals import Accepted, Lost, Refused

MIGRATIONS = [KnownMigration(1, "001_one.sql")]


def release(
    cloud: Cloud,
    commit: str,
    digests: dict[str, str] | None = None,
    migrations: list[KnownMigration] | None = None,
    **outcome: Any,
) -> Manifest:
    """Release a commit, all stages of it."""
    digests = digests or cloud.image(commit, **outcome)
    context = cloud.context
    manifest = prepare.prepare(context, target.parse(cloud.output), digests, commit, MIGRATIONS)
    manifest = manifest.but(migrations=manifest.migrations if migrations is None else migrations)
    migration.migrate(context, manifest)
    manifest = rollout.roll(context, manifest.but(migrated=True), context.releases.current())
    verification.probe(context, manifest)
    return verification.record(context, manifest)[1]


def refused(cloud: Cloud, commit: str, **outcome: Any) -> Failure:
    with pytest.raises(Failure) as found:
        release(cloud, commit, **outcome)
    return found.value


def running(cloud: Cloud) -> set[str]:
    """Return the commits that run by now."""
    return {cloud.world.outcomes[cloud.world.running(name).rpartition("@")[2]].version for name in SERVICES}


def test_a_good_release_runs_and_is_recorded_as_the_last_known_good_one(held: Cloud) -> None:
    found = release(held, "first")
    assert {part.sbom for part in found.services.values()} == {BILL}
    current = held.context.releases.current()
    assert running(held) == {"first"}
    assert current == found
    assert (found.verdict, found.commit) == ("deployed", "first")
    assert {name: part.image.partition("@")[2] for name, part in found.services.items()} == held.image("first")


def test_the_same_commit_again_changes_nothing(held: Cloud) -> None:
    first = release(held, "first")
    before = len(held.world.definitions), len(held.context.store.keys("releases/"))
    assert release(held, "first") == first
    assert (len(held.world.definitions), len(held.context.store.keys("releases/"))) == before


def test_a_release_whose_tasks_fail_is_rolled_back_everywhere_and_says_why(held: Cloud) -> None:
    release(held, "first")
    log = tuple(f"line {number}" for number in range(40))
    failure = refused(held, "second", kind="fails", exit=3, reason="Essential container in task exited", log=log)
    text = failure.text()
    assert failure.code == ExitCode.ROLLED_BACK
    assert failure.what == "Deploy of second to staging failed: web, api failed; first runs again everywhere."
    assert running(held) == {"first"}
    for words in ("EssentialContainerExited", "exit code 3", "tasks failed to start", "line 39", "hint: exit code 3"):
        assert words in text
    assert "line 24" not in text
    assert len(text.splitlines()) <= 60


def test_one_service_that_fails_takes_back_the_one_that_succeeded(held: Cloud) -> None:
    release(held, "first")
    web = held.image("web2", kind="fails", after=6.0, exit=1)["web"]
    digests = {**held.image("second", after=2.0), "web": web}
    failure = refused(held, "second", digests=digests)
    assert failure.code == ExitCode.ROLLED_BACK
    assert "web failed; first runs again everywhere" in failure.what
    assert [each for each in held.said if "api:3 2/2 running (deployed)" in each]
    assert running(held) == {"first"}


def test_a_first_release_that_fails_has_nothing_to_return_to(held: Cloud) -> None:
    failure = refused(held, "first", kind="fails", exit=1)
    assert failure.code == ExitCode.DEPLOY_FAILED
    assert "there is no earlier release to roll back to" in failure.what
    assert any(line.startswith("web: shop-web:2: it stays as updated") for line in failure.evidence)
    assert held.context.releases.current() is None


def connect(service: dict[str, Any], port: int, protocol: str = "http", **timeout: int) -> None:
    """Have a service answer under its name, as terraform/service_connect.tf has it."""
    name = service["container"]
    mapping = {"name": name, "containerPort": port} | ({"appProtocol": protocol} if protocol != "tcp" else {})
    service["task_definition"]["containerDefinitions"][0]["portMappings"] = [mapping]
    answers = {"portName": name, "clientAliases": [{"port": port, "dnsName": name}], "timeout": timeout}
    service["connection"] = {"enabled": True, "namespace": "shop-staging", "services": [answers]}


def test_a_timeout_alone_is_released_and_a_protocol_is_never_changed(held: Cloud) -> None:
    web = held.output["services"]["web"]
    release(held, "first")  # by an earlier version of ours: without names
    for seconds in (0, 90):
        connect(web, 4000, perRequestTimeoutSeconds=seconds)
        release(held, "second")
        assert held.world.services["shop-web"]["_connection"] == web["connection"]
    updates = held.world.updates()
    release(held, "second")
    assert held.world.updates() == updates
    connect(web, 4000, "tcp")
    failure = refused(held, "third")
    assert list(failure.evidence) == ["web: http -> tcp; x-aws.protocol: http keeps it"]
    assert held.world.updates() == updates


def test_a_changed_port_is_released_and_returns_together_with_its_definition(held: Cloud) -> None:
    web = held.output["services"]["web"]
    web["target_group"] = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/shop-web/0123456789abcdef"

    def listens(port: int) -> None:
        web["port"] = port
        connect(web, port)

    def served() -> list[int]:
        service = held.world.services["shop-web"]
        aliases = [each["clientAliases"][0]["port"] for each in service["_connection"]["services"]]
        assert aliases == [each["containerPort"] for each in service["loadBalancers"]]
        return aliases

    for commit, port in (("first", 4000), ("second", 5000)):
        listens(port)
        release(held, commit)
        assert served() == [port]
    listens(6000)
    api = held.image("api3", kind="fails", after=6.0, exit=1)["api"]
    refused(held, "third", digests={**held.image("third", after=2.0), "api": api})
    assert (served(), running(held)) == ([5000], {"second"})
    assert held.world.services["shop-api"]["loadBalancers"] == []


def test_a_worker_whose_tasks_do_not_stay_up_is_rolled_back(held: Cloud) -> None:
    """ECS has completed its deployment: without a health check, a task that has started is a good one."""
    worker = held.output["services"]["web"]
    worker |= {"port": None, "paths": [], "health_path": None}
    container = worker["task_definition"]["containerDefinitions"][0]
    container["portMappings"] = []
    del container["healthCheck"]
    release(held, "first")
    assert any("web:2 2/2 running (staying up)" in line for line in held.said)
    web = held.image("web2", kind="ends", exit=1, log=("there is no queue",))["web"]
    failure = refused(held, "second", digests={**held.image("second"), "web": web})
    assert failure.code == ExitCode.ROLLED_BACK
    assert "failed: web failed; first runs again everywhere" in failure.what
    assert "web: failed, its tasks start and then end by themselves" in failure.evidence
    assert [line.strip() for line in failure.evidence if "queue" in line or "hint" in line] == [
        "there is no queue",
        "hint: exit code 1: its log shows why",
    ]
    assert running(held) == {"first"}


def test_a_release_that_somebody_else_replaces_is_left_to_them(held: Cloud) -> None:
    release(held, "first")
    theirs = held.world.register_task_definition(definition("web", "somebody/else:1"))["taskDefinition"]
    words = {"service": "shop-web", "taskDefinition": theirs["taskDefinitionArn"]}
    held.world.after_updates(2, 5.0, lambda: held.world.update_service(words))
    failure = refused(held, "second", after=60.0)
    assert failure.code == ExitCode.SUPERSEDED
    assert "somebody else deployed meanwhile" in failure.what
    assert any("web now rolls out shop-web:" in line for line in failure.evidence)
    assert held.world.services["shop-web"]["deployments"][0]["taskDefinition"] == theirs["taskDefinitionArn"]


def test_a_slow_release_is_no_failed_one_and_can_be_come_back_to(held: Cloud) -> None:
    release(held, "first")
    held.context.timing = Timing(poll=2.0, timeout=60.0, probe_timeout=4.0)
    failure = refused(held, "second", after=100.0)
    assert failure.code == ExitCode.STILL_ROLLING
    assert "--resume" in failure.next
    left = next(held.context.releases.newest_first())
    assert (left.verdict, left.open) == ("still_rolling", True)
    found = rollout.resume(held.context, acquire.choose(held.context, "resume", ""), held.context.releases.current())
    verification.probe(held.context, found)
    verification.record(held.context, found)
    assert running(held) == {"second"}
    assert held.context.releases.current().commit == "second"


@pytest.mark.parametrize(("after", "late", "looks"), [(1.0, 0.5, 8), (300.0, 2.0, 180)])
def test_a_quick_rollout_is_seen_soon_and_a_slow_one_is_not_asked_for_all_the_time(
    held: Cloud, after: float, late: float, looks: int
) -> None:
    seen: list[float] = []
    held.context.notify = lambda text: seen.append(held.world.now) if " running" in text else None
    release(held, "first", after=after)
    assert after <= seen[-1] - seen[0] <= after + late
    assert len(seen) <= looks


def test_a_busy_ecs_is_not_asked_sooner(held: Cloud) -> None:
    release(held, "first")
    times: list[float] = []
    held.context.notify = lambda text: times.append(held.world.now) if "does not answer" in text else None
    held.world.after_updates(2, 0.0, lambda: held.world.fail("DescribeServices", "ThrottlingException", 12))
    release(held, "second")
    assert [after - before for before, after in itertools.pairwise(times)] == [held.context.timing.poll] * 2


def test_a_task_that_hangs_is_never_called_deployed(held: Cloud) -> None:
    release(held, "first")
    held.context.timing = Timing(poll=2.0, timeout=60.0, probe_timeout=4.0)
    assert refused(held, "second", kind="hangs").code == ExitCode.STILL_ROLLING
    assert running(held) == {"first"}


def test_an_emulator_whose_rollback_is_the_old_deployment_is_understood(held: Cloud) -> None:
    held.world.new_id = False
    release(held, "first")
    assert refused(held, "second", kind="fails", exit=1).code == ExitCode.ROLLED_BACK
    assert running(held) == {"first"}
    release(held, "third")
    assert running(held) == {"third"}


def test_throttling_and_an_ecs_that_lags_behind_delay_a_release_and_no_more(held: Cloud) -> None:
    release(held, "first")
    held.world.lag = 3
    held.world.after_updates(2, 3.0, lambda: held.world.fail("DescribeServices", "ThrottlingException", 4))
    assert release(held, "second").verdict == "deployed"
    assert any("ECS does not answer: ThrottlingException" in each for each in held.said)


@pytest.mark.parametrize("operation", ["RegisterTaskDefinition", "RunTask", "UpdateService"])
def test_a_write_that_ecs_throttles_is_repeated(held: Cloud, operation: str) -> None:
    release(held, "first")
    held.world.fail(operation, "ThrottlingException", 15)  # boto3 tries four times
    assert release(held, "second").verdict == "deployed"
    assert running(held) == {"second"}


@pytest.mark.parametrize("times", [15, 1000])
def test_a_throttled_way_back_is_repeated_and_then_left_rolling(held: Cloud, times: int) -> None:
    release(held, "first")
    held.context.timing = Timing(timeout=60.0, probe_timeout=4.0)

    def throttle(text: str) -> None:
        if text.startswith("rolling all services back"):
            for operation in ("UpdateService", "DescribeTaskDefinition"):
                held.world.fail(operation, "ThrottlingException", times)

    held.context.note = throttle
    code = refused(held, "second", healthy=False).code
    assert code == (ExitCode.ROLLED_BACK if times < 1000 else ExitCode.STILL_ROLLING)


def test_an_update_whose_answer_is_lost_is_not_repeated(held: Cloud) -> None:
    release(held, "first")
    before = held.world.updates()
    held.world.errors["UpdateService"] = [Lost(), *[Refused("ServerException", status=500)] * 3]
    second = release(held, "second")
    assert held.world.updates() - before == 4 + 1  # boto3's own four, and the other service
    assert {each["deployments"][0]["id"] for each in held.world.services.values()} == {
        part.deployment for part in second.services.values()
    }


def test_an_update_is_not_repeated_over_somebody_elses(held: Cloud) -> None:
    release(held, "first")
    theirs = held.world.register_task_definition(definition("web", "somebody/else:1"))["taskDefinition"]
    words = {"service": "shop-web", "taskDefinition": theirs["taskDefinitionArn"]}
    held.world.fail("UpdateService", "ThrottlingException", 4)
    held.world.after_updates(1, 0.0, lambda: held.world.update_service(words))
    assert refused(held, "second").code == ExitCode.SUPERSEDED
    assert held.world.services["shop-web"]["deployments"][0]["taskDefinition"] == theirs["taskDefinitionArn"]
    assert running(held) == {"first"}


def test_a_lease_that_is_lost_meanwhile_ends_the_attempts(held: Cloud) -> None:
    release(held, "first")
    held.world.fail("UpdateService", "ThrottlingException", 4)
    held.world.after_updates(1, 0.0, lambda: setattr(held.context, "token", "somebody else's"))
    before = held.world.updates()
    assert (refused(held, "second").code, held.world.updates() - before) == (ExitCode.LOCKED, 4)


def test_credentials_that_expire_in_the_middle_leave_it_rolling_and_say_so(held: Cloud) -> None:
    release(held, "first")
    held.world.after_updates(2, 3.0, lambda: held.world.fail("DescribeServices", "ExpiredTokenException"))
    failure = refused(held, "second", after=10.0)
    assert failure.code == ExitCode.STILL_ROLLING
    assert "credentials expired" in failure.what
    assert "--resume" in failure.next


def test_an_order_that_ecs_refuses_takes_the_others_back(held: Cloud) -> None:
    release(held, "first")
    digests = held.image("second")
    context = held.context
    manifest = prepare.prepare(context, target.parse(held.output), digests, "second", MIGRATIONS)
    held.world.errors["UpdateService"] = [Accepted(), Refused("InvalidParameterException", "no such role")]  # type: ignore[list-item]
    with pytest.raises(Failure) as found:
        rollout.roll(context, manifest.but(migrated=True), context.releases.current())
    assert found.value.code == ExitCode.ROLLED_BACK
    assert any("no such role" in line for line in found.value.evidence)
    assert running(held) == {"first"}


def test_a_healthy_release_of_the_wrong_version_is_taken_back(held: Cloud) -> None:
    release(held, "first")
    failure = refused(held, "second", version="another")
    assert failure.code == ExitCode.ROLLED_BACK
    assert "/version: says commit another, not second" in failure.evidence
    assert running(held) == {"first"}


def test_a_release_that_runs_and_is_not_well_is_taken_back(held: Cloud) -> None:
    release(held, "first")
    failure = refused(held, "second", healthy=False)
    assert failure.code == ExitCode.ROLLED_BACK
    assert "/health/all: 503, status fail (db fail)" in failure.evidence
    assert running(held) == {"first"}


def test_a_service_with_nothing_of_ours_is_asked_its_own_health_and_nothing_else(held: Cloud) -> None:
    held.world.paths = {"/up"}
    held.output["services"]["api"] |= {"probe": True, "health_path": "/up", "paths": ["/*"]}
    held.output["services"]["web"] |= {"probe": True, "health_path": None, "paths": []}
    found = release(held, "first")
    assert found.verdict == "deployed"
    asked = msgspec.to_builtins(verification.report(found, changed=True).probe)
    assert asked["asked"] == [{"service": "api", "path": "/up", "commit": False}]
    assert verification.probe(held.context, found) == f"3 times in a row 200 from /up, at {held.output['url']}"


def test_a_release_of_which_nothing_can_be_asked_says_so(held: Cloud) -> None:
    for each in held.output["services"].values():
        each |= {"probe": True, "health_path": None, "paths": []}
    assert "nothing was probed from outside" in verification.probe(held.context, release(held, "first"))


def test_a_secret_that_was_rotated_rolls_the_same_definitions_again(held: Cloud) -> None:
    first = release(held, "first")
    held.environment.client("ssm").put_parameter(
        Name="/shop/staging/password", Value="two", Type="SecureString", Overwrite=True
    )
    second = release(held, "first")
    assert [part.task_definition for part in second.services.values()] == [
        part.task_definition for part in first.services.values()
    ]
    assert all(part.deployment for part in second.services.values())
    assert second.secrets != first.secrets
    assert release(held, "first") == second


def test_a_secret_that_was_removed_and_made_again_is_another_one(held: Cloud) -> None:
    ssm = held.environment.client("ssm")
    name = "/shop/staging/password"
    ssm.delete_parameter(Name=name)
    ssm.put_parameter(Name=name, Value="four", Type="SecureString")
    first = release(held, "first")
    assert release(held, "first") == first
    ssm.delete_parameter(Name=name)
    assert ssm.put_parameter(Name=name, Value="five", Type="SecureString")["Version"] == 1
    assert all(part.deployment for part in release(held, "first").services.values())
    assert held.world.updates() == 4


def test_an_interrupt_says_what_goes_on_without_us(held: Cloud) -> None:
    release(held, "first")
    ordered = held.world.updates() + 2
    held.clock.interrupt_when = lambda: held.world.updates() >= ordered
    failure = refused(held, "second", after=60.0)
    assert failure.code == ExitCode.STILL_ROLLING
    assert "--resume" in failure.next
    assert any("api:3 " in line for line in failure.evidence)


def test_nothing_is_ordered_without_the_lease(held: Cloud) -> None:
    release(held, "first")
    held.context.token = "somebody else's"
    before = held.world.updates()
    failure = refused(held, "second")
    assert failure.code == ExitCode.LOCKED
    assert held.world.updates() == before


def test_a_breaking_migration_forbids_the_way_back(held: Cloud) -> None:
    first = release(held, "first")
    known = [KnownMigration(each.number, each.name) for each in first.migrations]
    second = release(held, "second", migrations=[*known, KnownMigration(9, "009_gone.sql", breaking=True)])
    with pytest.raises(Failure) as found:
        prepare.prepare_rollback(held.context, first)
    assert found.value.code == ExitCode.DEPLOY_FAILED
    assert any("009_gone.sql" in line for line in found.value.evidence)
    assert prepare.prepare_rollback(held.context, second).of == second.id


def test_a_migration_that_failed_half_way_is_in_the_history_and_forbids_the_way_back(held: Cloud) -> None:
    zeroth, first = release(held, "zeroth"), release(held, "first")
    known = [*first.migrations, KnownMigration(90, "090_gone.sql", breaking=True), KnownMigration(91, "091_wrong.sql")]
    refused(held, "second", migrations=known, migration=1)
    left = next(held.context.releases.newest_first())
    assert (left.commit, left.verdict, left.migrated, left.touched) == ("second", "failed", True, False)
    assert left.reason == "The migration of api ended with exit code 1; no service was changed."
    with pytest.raises(Failure) as found:
        prepare.prepare_rollback(held.context, zeroth)
    assert any("090_gone.sql" in line for line in found.value.evidence)


def test_a_migration_may_take_longer_than_a_rollout(held: Cloud) -> None:
    release(held, "first")
    held.world.tick = 120.0
    told: list[str] = []
    held.context.count = told.append
    release(held, "second", migrates=3000.0, log=("001 building an index",))
    assert "migration of api: running for 20 min, 001 building an index" in told


def test_a_migration_has_the_limit_that_its_service_gives_it(held: Cloud) -> None:
    held.world.tick = 10.0
    held.output["services"]["api"]["migrate_timeout"] = 60
    failure = refused(held, "first", migrates=3000.0)
    assert failure.what.startswith("The migration of api did not end within 60 s, and was stopped")
    assert "x-aws.release.timeout" in failure.next


def job(held: Cloud) -> None:
    """Have a job migrate in place of the api, as Terraform describes it."""
    api = held.output["services"]["api"]
    api["migrate"] = None
    task = {**definition("migrate", "IMAGE"), "executionRoleArn": "arn:aws:iam::1:role/shop-migrate-execution"}
    places = {key: api[key] for key in ("subnets", "security_groups", "log_stream_prefix")}
    more = {"container": "migrate", "task_definition": task, "log_group": "/shop/migrate"}
    held.output["jobs"] = {"migrate": {**places, **more, "image_of": "api", "services": ["api"], "timeout": 60}}


def test_a_job_runs_before_the_rollout_from_a_task_definition_of_its_own(held: Cloud) -> None:
    job(held)
    first = release(held, "first")
    [(_, words)] = [each for each in held.world.calls if each[0] == "RunTask"]
    assert words["overrides"] == {}
    assert words["taskDefinition"] == first.jobs["migrate"]
    ran = held.world.definitions[words["taskDefinition"]]
    assert ran["executionRoleArn"].endswith("shop-migrate-execution")
    assert ran["containerDefinitions"][0]["image"].endswith(held.image("first")["api"])
    release(held, "first")  # nothing is rolled out, so nothing runs before it
    assert [name for name, _ in held.world.calls].count("RunTask") == 1
    held.environment.client("ssm").put_parameter(
        Name="/shop/staging/password", Value="two", Type="SecureString", Overwrite=True
    )
    release(held, "first")  # the tasks are replaced, which may need what the job does to the database
    assert [name for name, _ in held.world.calls].count("RunTask") == 2
    failure = refused(held, "second", migration=4)
    assert failure.what == "The job migrate ended with exit code 4; no service was changed."
    assert refused(held, "third", migrates=3000.0).next.startswith("give it longer by x-aws.release.timeout")
    assert held.world.updates() == 4


def test_a_migration_that_is_on_its_way_is_in_the_bucket_already(held: Cloud) -> None:
    release(held, "first")
    held.clock.interrupt_when = lambda: bool(held.world.tasks)
    seen: list[Manifest] = []
    held.context.count = lambda _: seen.append(next(held.context.releases.newest_first()))
    assert refused(held, "second", log=("001 applied",)).code == ExitCode.INTERRUPTED
    assert (seen[-1].commit, seen[-1].migrated, seen[-1].verdict) == ("second", True, "")
    assert next(held.context.releases.newest_first()).verdict == "failed"


def test_a_migration_that_was_never_started_forbids_nothing(held: Cloud) -> None:
    zeroth, first = release(held, "zeroth"), release(held, "first")
    held.world.refusals = ["RESOURCE:MEMORY"] * 3
    refused(held, "second", migrations=[*first.migrations, KnownMigration(90, "090_gone.sql", breaking=True)])
    assert next(held.context.releases.newest_first()).verdict == "failed"
    assert prepare.prepare_rollback(held.context, zeroth).of == zeroth.id


def test_what_runs_already_is_probed_as_often_without_waiting_for_anything_to_settle(held: Cloud) -> None:
    digests = held.image("first")
    release(held, "first", digests)
    told, began = len(held.said), held.clock.now()
    release(held, "first", digests)
    assert sum("answers as first" in line for line in held.said[told:]) == Timing().probes - 1
    assert held.clock.now() - began < 0.5  # what it waits between two asks of a new release


def test_a_rollback_brings_the_last_good_release_back_and_is_one_itself(held: Cloud) -> None:
    first = release(held, "first")
    release(held, "second")
    good = acquire.choose(held.context, "rollback", "")
    assert good == first
    found = rollout.roll(held.context, prepare.prepare_rollback(held.context, good), held.context.releases.current())
    verification.probe(held.context, found)
    done = verification.record(held.context, found)[1]
    assert (done.kind, done.of, done.commit) == ("rollback", first.id, "first")
    assert running(held) == {"first"}
    assert held.context.releases.current() == done


def test_a_rollback_after_a_rollback_goes_further_back_and_never_forward(held: Cloud) -> None:
    zeroth, first, second = (release(held, commit) for commit in ("zeroth", "first", "second"))
    for wanted in (first, zeroth):
        assert acquire.choose(held.context, "rollback", "") == wanted
        back = rollout.roll(
            held.context, prepare.prepare_rollback(held.context, wanted), held.context.releases.current()
        )
        verification.record(held.context, back)
    with pytest.raises(Failure, match="staging has no good release before the current one"):
        acquire.choose(held.context, "rollback", "")
    assert prepare.prepare_rollback(held.context, held.context.releases.current()).of == zeroth.id
    assert acquire.choose(held.context, "rollback", second.id) == second


def test_a_rollback_takes_no_notice_of_an_attempt_that_touched_no_service(held: Cloud) -> None:
    first, second = release(held, "first"), release(held, "second")
    assert refused(held, "third", migration=4).code == ExitCode.DEPLOY_FAILED
    assert acquire.choose(held.context, "rollback", "") == first
    assert held.context.releases.current() == second


def test_an_interrupt_before_the_probe_leaves_a_release_that_one_comes_back_to(held: Cloud) -> None:
    release(held, "first")
    held.context.timing = Timing(probes=50, probe_timeout=60.0)
    held.clock.interrupt_when = lambda: any("answers as second" in line for line in held.said)
    failure = refused(held, "second")
    assert (failure.code, "--resume" in failure.next) == (ExitCode.STILL_ROLLING, True)
    held.clock.interrupt_when = lambda: False
    held.clock.interrupted = False
    held.context.timing = Timing()
    left = acquire.choose(held.context, "resume", "")
    assert left is not None
    found = rollout.resume(held.context, left, held.context.releases.current())
    verification.probe(held.context, found)
    assert verification.record(held.context, found)[1].commit == "second"


def test_a_rollback_goes_to_the_last_good_release_when_that_is_not_what_runs(held: Cloud) -> None:
    first, second = release(held, "first"), release(held, "second")
    for verdict, wanted in (("failed", second), ("superseded", second), ("", second), ("rolled_back", first)):
        held.context.releases.write(second.but(id=f"{second.id}x", verdict=verdict))
        assert acquire.choose(held.context, "rollback", "") == wanted


def test_a_rollback_revives_a_definition_that_somebody_retired(held: Cloud) -> None:
    first = release(held, "first")
    release(held, "second")
    for part in first.services.values():
        held.world.definitions[part.task_definition]["status"] = "INACTIVE"
    found = prepare.prepare_rollback(held.context, first)
    rollout.roll(held.context, found, held.context.releases.current())
    assert running(held) == {"first"}
