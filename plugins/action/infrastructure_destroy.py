"""Remove an environment: all but the bucket; databases leave a snapshot.

It holds the lease meanwhile, so nobody deploys. The releases stay in the history, but nobody can return to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from stackhand.ansible.action import Action, Result
from stackhand.cli.failure import ExitCode, Failure
from stackhand.cli.reporter import StepReport
from stackhand.infrastructure import account, bucket, plan
from stackhand.infrastructure import secrets as given
from stackhand.infrastructure.documents import Resource
from stackhand.infrastructure.plan import DestroyReport, concerns_of, numbers
from stackhand.infrastructure.snapshots import rds, restore
from stackhand.infrastructure.store import Store
from stackhand.infrastructure.terraform.terraform import Terraform
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.release.action import OnEnvironment
from stackhand.release.manifest import Releases
from stackhand.release.stages import acquire

PROTECTED = (
    "aws_db_instance.main",
    "aws_rds_cluster.main",
    "aws_ecr_repository.service",
    "aws_lb.main",
    "aws_s3_bucket.access_logs",
)
"""What refuses to be deleted until it is told otherwise."""


DATABASES = ("aws_db_instance", "aws_rds_cluster")
"""What leaves a last snapshot, of an instance or of a cluster."""


class ActionModule(Action):
    """Lifts the protection, then removes everything."""

    class Options(OnEnvironment):
        """Its options.

        Args:
            confirmed: the environment's name once more.
            lock_wait: seconds to wait while somebody else deploys, or has the state.
        """

        confirmed: str = ""
        lock_wait: float = 0.0

    def act(self, options: Options, *, check: bool) -> Result:
        """Destroy, while nobody deploys; the databases leave a snapshot."""
        environment = environments.load(options.environment)
        if options.confirmed != environment.name:
            raise Failure(
                f"The destruction of {environment.name} was not confirmed.",
                next=f"./inv destroy -e {environment.name}",
                code=ExitCode.USAGE,
            )
        account.check(environment)
        bucket.require(environment)
        wait = options.lock_wait
        terraform = Terraform(environment, self.progress, self.count, wait)
        terraform.init()
        there = terraform.state().managed()
        store = Store(environment)
        releases = Releases(store)
        if check or not (there or releases.current()):
            return Result(changed=bool(there))
        with acquire.alone(environment, self.progress, wait):
            report = _destroy(environment, terraform, there) if there else DestroyReport()
            releases.forget()
            restore.forget(store)
        notes = [
            *numbers(_concerns(terraform.configuration, there)),
            *(f"snapshot {each}" for each in (*report.snapshots, *report.clusters.values())),
        ]
        notes.append("deletion protection was lifted")
        return Result(changed=True, step=StepReport("destroyed", f"{len(there)} resources", notes=notes), report=report)


def _concerns(configuration: Path, resources: list[Resource]) -> Counter[str]:
    """Return how many resources there are of each concern."""
    known = concerns_of(configuration)
    return Counter(known.get(f"{each.type}.{each.name}", "no longer in the files") for each in resources)


def _destroy(environment: Environment, terraform: Terraform, there: list[Resource]) -> DestroyReport:
    """Lift the protection, remove everything, and return the snapshots, key and given secrets that stay."""
    secrets = given.of(terraform.state())
    lifted = {"deletion_protection": "false", "destroying": "true"}
    databases = [each for each in there if each.type in DATABASES]
    snapshot = f"final-{datetime.now(UTC):{rds.STAMP}}"
    if environment.variables.get("final_snapshot", "") is None:
        databases = []
    else:
        lifted["final_snapshot"] = snapshot
    key = plan.key_that_stays(there, _keys_in_use(environment, databases, secrets))
    addresses = {each.address.partition("[")[0] for each in there}
    if protected := [each for each in PROTECTED if each in addresses]:
        terraform.change(*protected, **lifted)
    if key:
        terraform.forget(["aws_kms_key.main"])
    terraform.destroy(**lifted)
    clusters = {str(each.index): each.values for each in databases if each.type == "aws_rds_cluster"}
    instances = [each.values for each in databases if each.type == "aws_db_instance"]
    snapshots = [f"{each['identifier']}-{snapshot}" for each in instances]
    of_clusters = {name: f"{each['cluster_identifier']}-{snapshot}" for name, each in clusters.items()}
    return DestroyReport(snapshots, key, secrets, of_clusters)


def _keys_in_use(environment: Environment, databases: list[Resource], secrets: Mapping[str, str]) -> Iterator[str]:
    """Yield what encrypts all that outlives the environment: snapshots, last and earlier, and given secrets."""
    yield from (str(each.values.get("kms_key_id")) for each in databases)
    yield from (each.key for each in rds.snapshots(environment))
    yield from given.keys(environment, secrets)
