"""The verbs deploy and rollback, through Invoke and Ansible, as a person and CI use them: one environment's story."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stackhand.infrastructure import signing_key
from stackhand.project import environments
from stackhand.release import lease, target
from stackhand.release.images import provenance, signature
from tests.checkout import Checkout, Said, clean_environment, eventually
from tests.cloud.conftest import Cloud
from tests.cloud.fake_rollout import Outcome
from tests.cloud.site import Site

pytestmark = pytest.mark.slow


@pytest.fixture
def tick() -> float:
    return 1.0


HOOK = """#!/bin/sh
variable() { printenv "STACKHAND_HOOK_$1" || echo -; }
echo "$STACKHAND_HOOK $(variable VERB) $(variable COMMIT) $(variable EXIT_CODE)" >> .stackhand/hooks.log
"""


@pytest.fixture
def site(cloud: Cloud, folder: Path) -> Site:
    """A checkout that releases to the cloud of the test, with hooks that record what they are told."""
    found = Site(Checkout.make(folder / "shop", env=False), cloud.settings, cloud.output)
    (found.checkout.path / "hooks").mkdir()
    for name in ("pre-deploy", "post-deploy", "on-failure"):
        hook = found.checkout.path / "hooks" / name
        hook.write_text(HOOK, encoding="utf-8")
        hook.chmod(0o755)
    found.checkout.state.mkdir()
    return found


def hooks_of(site: Site) -> list[str]:
    """Return what the hooks have recorded: their names, the verb, the commit and the exit code."""
    return (site.checkout.state / "hooks.log").read_text(encoding="utf-8").splitlines()


def prepared(site: Site, cloud: Cloud, words: str, **outcome: object) -> str:
    """Commit something, whose images are in the registry, and return the commit."""
    digests = cloud.image(words)
    site.images(digests)
    commit = site.commit(words)
    for digest in digests.values():
        cloud.world.outcomes[digest] = Outcome(**{"version": commit, **outcome})
    return commit


def sign(cloud: Cloud, words: str, commit: str) -> None:
    """Sign the images of a commit, as the role that is left out here does."""
    for image in provenance.of_target(cloud.environment, target.parse(cloud.output), cloud.image(words), commit):
        signature.sign(cloud.environment, image)


def inv(site: Site, *words: str, check: bool = True) -> Said:
    verb, *rest = words
    return site.checkout.inv(verb, "-e", "staging", *rest, check=check, **site.settings)


def by_hand(site: Site) -> subprocess.Popen[str]:
    """Start the playbook itself, as CI does."""
    given = {"stackhand_environment": "staging", "stackhand_timing": {"poll": 0.1}}
    return subprocess.Popen(
        [sys.executable, "-m", "ansible.cli.playbook", "playbooks/deploy.yml", "--extra-vars", json.dumps(given)],
        cwd=site.checkout.path,
        env=clean_environment(**site.settings, LC_ALL="C.UTF-8"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(400)
def test_a_release_is_deployed_a_broken_one_taken_back_and_an_earlier_one_brought_back(
    site: Site, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(site, cloud, "first")
    lines = [json.loads(line) for line in inv(site, "deploy", "--yes", "--json").out.splitlines()]
    assert lines[-1] | {"time": ""} == {
        "event": "release",
        "time": "",
        "environment": "staging",
        "release": lines[-1]["release"],
        "kind": "deploy",
        "commit": first,
        "verdict": "deployed",
        "changed": True,
        "url": cloud.output["url"],
        "probe": lines[-1]["probe"],
        "services": lines[-1]["services"],
        "jobs": {},
        "extra": {},
    }
    assert [each["path"] for each in lines[-1]["probe"]["asked"]] == ["/health/all", "/healthz", "/version"]
    assert [each["name"] for each in lines if each["event"] == "step"] == [
        "lease",
        "preflight",
        "prepared",
        "migrated",
        "rolled",
        "probed",
        "recorded",
    ]
    assert lease.current(cloud.context.store) is None

    prepared(site, cloud, "broken", kind="fails", exit=3, log=("boom",))
    broken = inv(site, "deploy", "--yes", check=False)
    assert broken.code == 10
    assert f" failed; {first[:12]} runs again everywhere." in broken.err
    assert ": exit code 3" in broken.err
    assert "Traceback" not in broken.out + broken.err
    assert lease.current(cloud.context.store) is None

    monkeypatch.setattr(environments, "FOLDER", site.checkout.path / "environments")
    signing_key.make(cloud.environment)
    second = prepared(site, cloud, "second")
    definitions = len(cloud.world.definitions)
    refused = inv(site, "deploy", "--yes", check=False)
    assert (refused.code, f"Images of {second[:12]} are not signed" in refused.err) == (3, True), refused.err
    assert len(cloud.world.definitions) == definitions
    sign(cloud, "first", first)
    sign(cloud, "second", second)
    assert f"{second[:12]} is deployed in staging" in inv(site, "deploy", "--yes").out
    back = inv(site, "rollback", "--yes")
    assert f"{first[:12]} runs again in staging" in back.out
    kept = [each.verdict for each in cloud.context.releases.newest_first()]
    assert kept == ["deployed", "deployed", "rolled_back", "deployed"]
    broken_commit = site.git("rev-parse", f"{second}~1").strip()
    assert hooks_of(site) == [
        f"pre-deploy deploy {first} -",
        f"post-deploy deploy {first} 0",
        f"pre-deploy deploy {broken_commit} -",
        f"on-failure deploy {broken_commit} 10",
        f"pre-deploy deploy {second} -",
        f"on-failure deploy {second} 3",
        f"pre-deploy deploy {second} -",
        f"post-deploy deploy {second} 0",
        "pre-deploy rollback - -",
        f"post-deploy rollback {first} 0",
    ]


@pytest.mark.timeout(400)
def test_a_release_is_left_rolling_by_a_signal_and_come_back_to(site: Site, cloud: Cloud) -> None:
    second = prepared(site, cloud, "second", after=500.0)
    ordered = cloud.world.updates() + 2
    child = by_hand(site)
    eventually(lambda: cloud.world.updates() >= ordered, "both services are ordered")
    other = inv(site, "deploy", "--yes", check=False)
    assert other.code == 14
    assert f"deploying {second}" in other.err
    child.send_signal(signal.SIGTERM)  # as CI does when somebody cancels it
    assert "ECS continues to roll out" in child.communicate(timeout=60)[0]
    assert child.returncode == 13
    eventually(lambda: lease.current(cloud.context.store) is None, "the lease is given back", 30.0)

    child = site.checkout.start("deploy", "-e", "staging", "--resume", **site.settings)
    eventually(lambda: lease.current(cloud.context.store), "the lease is taken")
    eventually(cloud.watched, "somebody watches")
    child.send_signal(signal.SIGTERM)
    said = child.communicate(timeout=60)
    assert child.returncode == 13, said
    assert "api:" in said[1]
    assert "./inv deploy -e staging --resume" in said[1]
    eventually(lambda: lease.current(cloud.context.store) is None, "the lease is given back", 30.0)

    for digest in cloud.image("second").values():
        cloud.world.outcomes[digest] = Outcome(version=second)
    resumed = inv(site, "deploy", "--resume")
    assert f"{second[:12]} is deployed in staging" in resumed.out
    assert hooks_of(site) == [
        f"pre-deploy deploy {second} -",
        f"pre-deploy deploy {second} -",
        f"on-failure deploy {second} 14",
        f"on-failure deploy {second} 13",
        "on-failure deploy - 13",
        f"post-deploy deploy {second} 0",
    ]


@pytest.mark.timeout(200)
def test_a_release_goes_on_when_the_verb_that_watches_it_is_killed(site: Site, cloud: Cloud) -> None:
    second = prepared(site, cloud, "second", after=3.0)
    ordered = cloud.world.updates() + 2
    child = site.checkout.start("deploy", "-e", "staging", "--yes", **site.settings)
    eventually(lambda: cloud.world.updates() >= ordered, "both services are ordered", 60.0)
    child.kill()
    child.communicate()
    eventually(lambda: lease.current(cloud.context.store) is None, "the lease is given back", 60.0)
    current = cloud.context.releases.current()
    assert current
    assert (current.commit, current.verdict) == (second, "deployed")
