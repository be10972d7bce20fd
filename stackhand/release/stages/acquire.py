"""The first stage: who we are, what is to be released, and the lease for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import msgspec

from stackhand.ansible import process
from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import account
from stackhand.infrastructure.store import Store
from stackhand.project.environments import Environment
from stackhand.release import heartbeat, lease
from stackhand.release.action import OnEnvironment
from stackhand.release.context import Context
from stackhand.release.images import registry, source
from stackhand.release.images.source import Source
from stackhand.release.manifest import Manifest
from stackhand.release.stages import rollout
from stackhand.release.target import target_of
from stackhand.release.verdict import Verdict


class Request(OnEnvironment):
    """What is to run: a new release, one that was left rolling, or an earlier one.

    Args:
        kind: which of the three.
        tag: a commit whose images are there, or another name for what is checked out.
        dirty: let changes go along that are not committed; the release's name tells of them.
        allow_older: let a commit be released that is older than what runs, or whose age nobody can tell.
        lock_wait: seconds to wait for the lease.
        to: the release to return to, by id or commit; empty means the last good one before this.
    """

    kind: Literal["deploy", "resume", "rollback"]
    tag: str = ""
    dirty: bool = False
    allow_older: bool = False
    lock_wait: float = 0.0
    to: str = ""


class Acquired(msgspec.Struct, frozen=True):
    """What the first stage hands on.

    Args:
        commit: that is released; empty where an earlier release is looked for.
        name: what else its images are called.
        token: of the lease.
        heartbeat: the process that renews it.
        manifest: the release to go on with, or to return to.
    """

    commit: str
    name: str
    token: str
    heartbeat: int
    manifest: Manifest | None


def begin(context: Context, request: Request) -> Acquired:
    """Check what can be checked before anything else, and take the lease.

    Raises:
        Failure: there is nothing to release, or somebody else is at it.
    """
    account.check(context.environment)
    wanted = _source(context, request) if request.kind == "deploy" else None
    commit = wanted.commit if wanted else ""
    held = heartbeat.start(
        _request(context.environment.name, commit or request.kind, request.lock_wait),
        context.notify,
        context.clock.check,
    )
    try:
        # Again, for who had the lease may have released meanwhile.
        if note := _require_newer(context, request, commit):
            context.note(note)
        chosen = choose(context, request.kind, request.to)
    except Failure:
        heartbeat.stop(held.pid)
        raise
    release = wanted or chosen
    commit, name = (release.commit, release.name) if release else ("", "")
    return Acquired(commit, name, held.token, held.pid, chosen)


def _request(environment: str, commit: str, timeout: float) -> heartbeat.LeaseRequest:
    return heartbeat.LeaseRequest(
        environment, account.owner(), commit, account.run_url(), timeout, process.playbook_pid()
    )


def _source(context: Context, request: Request) -> Source:
    """Return what is to be released, when it may be."""
    chosen = source.choose(tag=request.tag, dirty=request.dirty, folders=source.sources())
    current = context.releases.current()
    if chosen.name or not chosen.here:
        target = target_of(current) if current else None
        chosen = registry.identify(context.environment, target, chosen, unknown=request.allow_older)
    _require_newer(context, request, chosen.commit)
    return chosen


def _require_newer(context: Context, request: Request, commit: str) -> str:
    """Refuse a commit that is older than what runs, unless that is meant; return a note on the two.

    What was left rolling runs too, at least in part, and its migrations have run.
    """
    if not commit or request.allow_older:
        return ""
    newest = next(context.releases.newest_first(), None)
    rolling = newest if newest and newest.open and newest.touched else None
    running = dict.fromkeys(each.commit for each in (context.releases.current(), rolling) if each)
    notes = [source.require_newer(each, commit, context.environment.name) for each in running]
    return "; ".join(filter(None, notes))


def choose(context: Context, kind: str, to: str) -> Manifest | None:
    """Return the release that is to be resumed or returned to; none for a new one.

    Raises:
        Failure: there is none.
    """
    if kind == "deploy":
        return None
    if kind == "resume":
        return _open(context)
    return context.releases.named(to) if to else _last_good(context)


def _open(context: Context) -> Manifest:
    newest = next(context.releases.newest_first(), None)
    returns = newest is not None and bool(newest.verdict) and bool(rollout.missing(newest, None))
    if newest is None or not newest.open or not newest.touched or returns:
        # One that was watched, and not ordered as a whole, had a service refused: it was left rolling back.
        state = "rolling back" if returns else newest.verdict or "untouched" if newest else ""
        summary = f"the newest release, {newest.id}, is {state}" if newest else "none yet"
        raise Failure(
            f"No release of {context.environment.name} is still rolling.",
            evidence=[summary],
            next=f"./inv cloud.status -e {context.environment.name}",
            code=ExitCode.USAGE,
        )
    return newest


def _last_good(context: Context) -> Manifest:
    """Return the last known good release; when it is what runs, the one before it."""
    current = context.releases.current()
    newest = next((each for each in context.releases.newest_first() if each.touched or each.good), None)
    if current and newest and newest.verdict not in {Verdict.DEPLOYED, Verdict.ROLLED_BACK}:
        return current
    start = current.of or current.id if current else ""  # before a rollback is what came before its release
    for each in context.releases.newest_first():
        if current and each.good and each.id < start and each.commit != current.commit:
            return each
    raise Failure(
        f"{context.environment.name} has no good release before the current one.",
        next=f"./inv cloud.releases -e {context.environment.name}",
        code=ExitCode.USAGE,
    )


@contextmanager
def alone(environment: Environment, notify: Callable[[str], None], timeout: float = 0.0) -> Iterator[None]:
    """Hold the lease of an environment that is being removed, after waiting for it so many seconds.

    Raises:
        Failure: somebody deploys to it.
    """
    request = _request(environment.name, "nothing: it is being destroyed", timeout)
    try:
        held = heartbeat.start(request, notify, lambda: None)
    except Failure as failure:
        if failure.code is not ExitCode.LOCKED:
            raise
        raise Failure(
            f"{environment.name} is locked by another deploy, so nothing was removed.",
            evidence=failure.evidence,
            next=f"wait for it; if it is dead, ./inv cloud.unlock -e {environment.name}",
            code=ExitCode.LOCKED,
        ) from failure
    try:
        yield
    finally:
        with suppress(Failure):  # then its heartbeat does, or it expires
            lease.give_back(Store(environment), held.token)
        heartbeat.stop(held.pid)
