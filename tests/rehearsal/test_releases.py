"""What happens to releases, with real containers: verdict, exit code, words, and what runs and answers afterwards.

A client asks all the time; in no scenario may it lose a request. The emulator has the load balancer's health checks and
the limits of memory from stackhand/rehearsal/ministack/app.py.
"""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from stackhand.cli.failure import ExitCode
from stackhand.rehearsal.environment import NAME as ENVIRONMENT
from tests.checkout import docker, eventually
from tests.rehearsal.cloud import DEPLOY, Cloud

pytestmark = [pytest.mark.compose, pytest.mark.slow, pytest.mark.timeout(900)]

UNWELL = r"""CMD ["python", "-c", "import http.server as h\n\
class No(h.BaseHTTPRequestHandler):\n\
    def do_GET(self): self.send_error(503)\n\
h.HTTPServer(('', 4000), No).serve_forever()"]"""
HUNGRY = """CMD ["python", "-c", "print('loading everything', flush=True); x = b'x' * 2**30"]"""
NOWHERE = {
    "layers": [],
    "config": {
        "mediaType": "application/vnd.docker.container.image.v1+json",
        "size": 2,
        "digest": f"sha256:{'0' * 64}",
    },
}


def migration(number: int, sql: str) -> str:
    """Return the lines that add a migration to an image."""
    path = f"/app/service/migrations/{number:03}_test.sql"
    return f"USER 0\nRUN printf '%s\\n' '{sql}' > {path}\nUSER 10001:10001"


def next_number() -> int:
    from tests.checkout import ROOT

    return 1 + max(int(path.name[:3]) for path in (ROOT / "service" / "migrations").glob("*.sql"))


def database(cloud: Cloud, sql: str) -> str:
    """Run SQL in the emulator's database."""
    databases = docker("ps", "--quiet", "--filter", "name=-rds-").split()
    mine = [each for each in cloud.aws.containers() if each in databases]
    stack = cloud.environment.stack
    return docker("exec", mine[0], "psql", "-h", "/var/run/postgresql", "-U", stack, "-d", stack, "-Atc", sql).strip()


def test_a_good_release_replaces_the_one_before_it(cloud: Cloud) -> None:
    cloud.variant("good")
    before = cloud.running()
    with cloud.asked() as client:
        said = cloud.deploy("good")
        assert said.code == ExitCode.DONE, said.out
        eventually(lambda: len(client.seen) == 2, "both releases answered the client", timeout=10)
    assert "good is deployed in rehearsal" in said.out
    assert "exit code 0" in said.out  # of the migration
    assert cloud.version() == "good"
    assert cloud.running()["api"] != before["api"]
    args = ["docker", "inspect", "--format", "{{.Config.Env}}", *cloud.aws.containers()]
    inspected = subprocess.run(args, capture_output=True, text=True, check=False)  # one may be gone by now
    environments = inspected.stdout.splitlines()
    of_api = [each for each in environments if "HEALTH_DETAILS_TOKEN=" in each]
    assert of_api
    assert not any("MIGRATION_DATABASE" in each for each in of_api)  # the owner's password is the job's
    assert client.seen == {cloud.good, "good"}
    cloud.good = "good"


def test_a_release_that_starts_and_is_not_healthy_is_rolled_back(cloud: Cloud) -> None:
    cloud.variant("unwell", UNWELL)
    with cloud.unharmed():
        said = cloud.deploy("unwell")
    assert said.code == ExitCode.ROLLED_BACK, said.out
    assert "failed ELB health checks" in said.out
    assert "503" in said.out
    assert f"{cloud.good[:12]} runs again everywhere" in said.out


def test_a_healthy_release_that_is_another_than_it_should_be_is_rolled_back(cloud: Cloud) -> None:
    cloud.variant("liar", commit="somebody-else")
    before, commit = cloud.running(), cloud.version()
    with cloud.asked() as client:
        said = cloud.deploy("liar")
    assert said.code == ExitCode.ROLLED_BACK, said.out
    assert "/version: says commit somebody-else, not liar" in said.out
    assert (cloud.running(), cloud.version()) == (before, commit)
    assert client.seen == {commit, "somebody-else"}  # it was healthy, so it was let in until it was asked who it is


def test_a_release_that_needs_more_memory_than_it_has_is_rolled_back_with_the_service_that_is_well(
    cloud: Cloud,
) -> None:
    cloud.variant("hungry", service="web", others=False)
    cloud.variant("hungry", HUNGRY)
    with cloud.unharmed():
        said = cloud.deploy("hungry")
    assert said.code == ExitCode.ROLLED_BACK, said.out
    assert f"api failed; {cloud.good[:12]} runs again everywhere" in said.out
    assert "container api: exit code 137" in said.out
    assert "loading everything" in said.out
    assert "3 failed tasks" in said.out
    assert "raise x-aws.memory" in said.out


def test_a_release_whose_image_cannot_be_pulled_is_rolled_back(cloud: Cloud) -> None:
    cloud.variant("hollow", others=False)
    cloud.retag("web", "hollow", NOWHERE)
    cloud.sign("hollow")
    before = cloud.running()
    with cloud.asked():
        said = cloud.deploy("hollow")
    assert said.code == ExitCode.ROLLED_BACK, said.out
    assert "CannotPullContainerError" in said.out
    assert f"web failed; {cloud.good[:12]} runs again everywhere" in said.out
    assert (cloud.running(), cloud.version()) == (before, cloud.good)


def test_a_migration_that_fails_half_way_leaves_what_was_done_before(cloud: Cloud) -> None:
    number = next_number()
    lines = migration(number, "CREATE TABLE half (id int);") + "\n" + migration(number + 1, "SELECT nonsense;")
    cloud.variant("half", lines)
    with cloud.unharmed() as client:
        said = cloud.deploy("half")
    assert said.code == ExitCode.DEPLOY_FAILED, said.out
    assert "The job migrate ended with exit code" in said.out
    assert "no service was changed" in said.out
    assert "nonsense" in said.out
    assert client.seen == {cloud.good}
    assert database(cloud, "SELECT count(*) FROM stackhand_status.half") == "0"
    # The release that fixes it would go on from there; the scenarios after this one go on from before.
    undo = f"DROP TABLE half; DELETE FROM schema_migration WHERE number >= {number}"
    database(cloud, f"SET search_path = stackhand_status; {undo}")


def test_a_second_deploy_is_told_who_is_at_it_and_one_that_is_terminated_says_how_to_come_back(cloud: Cloud) -> None:
    before = cloud.running()
    cloud.variant("left")
    with cloud.asked():
        child = cloud.start(*DEPLOY, "--tag", "left")
        assert child.stdout is not None
        lines = [next(line for line in child.stdout if "lease" in line)]
        os.killpg(child.pid, signal.SIGSTOP)  # else it may be done before the other one has asked
        second = cloud.deploy(cloud.good)
        os.killpg(child.pid, signal.SIGCONT)
        assert second.code == ExitCode.LOCKED, second.out
        assert "left" in second.out
        for line in child.stdout:
            lines.append(line)
            if "running" in line and "(in_progress)" in line:
                child.send_signal(signal.SIGTERM)
                break
        rest, _ = child.communicate(timeout=60)
        assert child.returncode == ExitCode.STILL_ROLLING, "".join(lines) + rest
        assert "--resume" in rest
        assert cloud.version() in {cloud.good, "left"}
        said = cloud.inv("deploy", "-e", ENVIRONMENT, "--resume")
        assert said.code == ExitCode.DONE, said.out
    assert cloud.version() == "left"

    with cloud.asked() as client:
        said = cloud.inv("rollback", "-e", ENVIRONMENT, "--yes")
        assert said.code == ExitCode.DONE, said.out
    assert f"{cloud.good[:12]} runs again in rehearsal" in said.out
    assert (cloud.running(), cloud.version()) == (before, cloud.good)
    assert client.seen == {cloud.good, "left"}


def test_ansible_alone_deploys_as_a_workflow_does_and_changes_nothing_the_second_time(cloud: Cloud) -> None:
    with cloud.unharmed() as client:
        said = cloud.playbook(
            "deploy", stackhand_tag=cloud.good, stackhand_allow_older="true", stackhand_max_severity="any"
        )
    assert said.code == 0, said.out
    assert "was already running" in said.out
    assert "is already in ECR" in said.out
    assert client.seen == {cloud.good}
    assert f"{cloud.good[:12]} already runs in rehearsal, at {cloud.url}" in said.out
