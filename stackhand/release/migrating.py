"""The stage of a release that brings the database up to date, and whether one may go back behind it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import ExitCode, Failure
from stackhand.release.context import Context, target_of
from stackhand.release.manifest import Manifest
from stackhand.release.migration import Migration
from stackhand.release.releases import Releases
from stackhand.release.verdict import Verdict


def migrate(context: Context, manifest: Manifest) -> list[str]:
    """Run the migrations of the services that are to be replaced, and return whose they were.

    The bucket knows of them before they begin, and that they failed: there may be no way back behind them.

    Raises:
        Failure: one failed.
        Interrupted: we are to stop.
    """
    target = target_of(manifest)
    names = [name for name, each in target.services.items() if each.migrate and not manifest.services[name].same]
    applied = False
    if names:
        context.require_lease()
        context.releases.write(manifest.but(migrated=True))
    for name in names:
        task = Migration(
            context.ecs,
            context.cloudwatch,
            target,
            name,
            context.clock,
            lambda text, name=name: context.count(f"migration of {name}: {text}"),  # type: ignore[misc]
            poll=min(context.pace.poll, 1.0),
            timeout=target.services[name].migrate_timeout or context.pace.migration,
            starts_within=context.pace.timeout,
        )
        try:
            context.require_lease()
            task.run(manifest.services[name].task_definition, f"release-{manifest.id}")
        except (Failure, Interrupted) as error:
            reason = error.what if isinstance(error, Failure) else f"interrupted before the migration of {name}"
            with suppress(Failure):  # what is to be said is the migration's
                failed = manifest.but(migrated=applied or task.started)
                context.releases.write(failed.judged(Verdict.FAILED, reason))
            raise
        applied = True
    return names


def require_way_back(releases: Releases, good: Manifest, newest: Manifest | None = None) -> None:
    """Refuse to go back to a release that does not work with the schema of now.

    Args:
        releases: of the environment.
        good: the release to go back to.
        newest: a release that is in no list yet.

    Raises:
        Failure: a migration since then is marked as breaking.
    """
    known = {each.number for each in good.migrations}
    for release in _since(releases, good, newest):
        for each in release.migrations:
            if each.breaking and each.number not in known:
                raise Failure(
                    f"{good.commit[:12]} does not work with the database any more.",
                    evidence=[f"{each.name} of the release {release.id} is marked `-- migrate: breaking`"],
                    next="mend the newer code and deploy it; only a restored database would take the old one",
                    code=ExitCode.DEPLOY_FAILED,
                )


def _since(releases: Releases, good: Manifest, newest: Manifest | None) -> Iterable[Manifest]:
    if newest:
        yield newest
    for each in releases.newest_first():
        if each.id <= good.id:
            return
        if each.migrated:
            yield each
