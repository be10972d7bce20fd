"""Rolls services out together: update all, then watch until the verdict on them is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stackhand.aws import waiting
from stackhand.aws.errors import expired, message_of, transient
from stackhand.aws.waiting import Interrupted
from stackhand.cli.failure import Failure
from stackhand.release import verdict
from stackhand.release.context import Context
from stackhand.release.ecs.cluster import Cluster
from stackhand.release.ecs.states import ABSENT, ServiceState
from stackhand.release.target import Target, Targets
from stackhand.release.verdict import COMPLETED, Deployment, DeploymentRequest, Snapshot, Verdict


@dataclass
class Rolling:
    """A service on its way.

    Args:
        name: in docker-compose.yml.
        service: in ECS.
        request: what we asked for.
        began: the clock's time then.
        seen: its snapshots so far.
        verdict: once it is known.
        failing: whether it failed, though ECS may still be rolling back.
        refused: why ECS did not even take the request.
        unanswered: the last error after which nobody knew whether ECS had taken it.
        known: the events from before it.
    """

    name: str
    service: str
    request: DeploymentRequest
    began: float
    seen: list[Snapshot] = field(default_factory=list)
    verdict: Verdict | None = None
    failing: bool = False
    refused: str = ""
    unanswered: str = ""
    known: frozenset[str] = frozenset()

    def events(self) -> list[str]:
        """Return the events since the deployment was requested, oldest first."""
        events = self.seen[-1].events if self.seen else ()
        return [message for message in reversed(events) if message not in self.known]

    def check(self, state: ServiceState, now: float) -> None:
        """Judge it by one more snapshot."""
        self.seen.append(replace(state, at=now - self.began))
        self.verdict = verdict.decide(self.request, self.seen)
        self.failing = verdict.failing(self.request, self.seen)

    def summary(self, targets: str = "") -> str:
        """Return where it is, and what the load balancer says of it."""
        if self.refused:
            return f"{self.name} refused"
        ours = self.seen[-1].deployment(self.request.deployment) if self.seen else None
        revision = self.request.task_definition.rpartition(":")[2]
        if self.unanswered and not (self.request.deployment or self.verdict):
            return f"{self.name}:{revision} requested, but not confirmed by ECS"
        if ours is None:
            return f"{self.name}:{revision} {self.verdict or 'ordered'}"
        failed = f", {ours.failed} failed" if ours.failed else ""
        state = self.verdict or ("staying up" if ours.rollout == COMPLETED else ours.rollout.lower())
        return f"{self.name}:{revision} {ours.running}/{ours.desired} running{failed}{targets} ({state})"


class Rollout:
    """Some services of an environment's cluster, released together.

    Args:
        ports: the release whose ports requests are sent to; by default the same.
    """

    def __init__(self, context: Context, target: Target, ports: Target | None = None) -> None:
        self.cluster = Cluster(context.ecs, target.cluster)
        self.targets = Targets(context.environment.client("elbv2"), target)
        self.clock, self.require = context.clock, context.require_lease
        self.notify, self.note = context.notify, context.note
        self.poll, self.timeout = context.timing.poll, context.timing.timeout
        self.rolling: dict[str, Rolling] = {}
        self.services = {name: each.service for name, each in target.services.items()}
        self.networks = {each.service: each.network() for each in (ports or target).services.values()}
        self.stays = {each.service: context.timing.stay for each in target.services.values() if not each.checked}
        self._reported: set[str] = set()

    def update(self, name: str, task_definition: str, *, force: bool = False) -> Rolling:
        """Order one service's new task definition; `force` replaces its tasks even when that is the old one."""
        self.clock.check()
        request = DeploymentRequest("", task_definition, timeout=self.timeout)
        rolling = Rolling(name, self.services[name], request, self.clock.now())
        try:
            self._submit(rolling, force=force)
        except (Interrupted, Failure):
            raise
        except Exception as error:
            if expired(error) or transient(error):
                raise
            rolling.refused, rolling.verdict = message_of(error), Verdict.FAILED
        self.rolling[name] = rolling
        return rolling

    def ask(self, name: str, began: float | None = None) -> ServiceState:
        """Return the state of a service, as soon as ECS answers and before the timeout."""
        rest = self.timeout if began is None else began + self.timeout - self.clock.now()
        retry = waiting.Retry(rest, self.clock.sleep, self.notify, self.clock.now)
        return retry(lambda: self.cluster.service(self.services[name]))

    def _submit(self, rolling: Rolling, *, force: bool) -> None:
        """Call UpdateService until ECS has taken it, and note what it made of it.

        An error may hide that it was taken: ECS is asked before the next attempt.
        """
        old = self.ask(rolling.name, rolling.began)
        rolling.known = frozenset(old.events)
        for seconds in waiting.delays():
            new = self._update_service(rolling, force=force, again=self.clock.now() + seconds)
            ours = new.primary if new else None
            if ours is None:
                self.clock.sleep(seconds)
            if new is None:
                new = self.ask(rolling.name, rolling.began)
                ours = _accepted(rolling, old, new)
                _judge_others(rolling, old, new, ours)
            if ours or rolling.verdict:
                self._accept(rolling, (*old.deployments, *new.deployments), ours, returns=old.returns)
                return
            if self.clock.now() > rolling.began + self.timeout:  # taken, and no deployment came of it
                rolling.verdict = Verdict.STILL_ROLLING
                return
            self.require()

    def _update_service(self, rolling: Rolling, *, force: bool, again: float) -> ServiceState | None:
        """Call UpdateService once; None when it is to be called again at that time."""
        try:
            network = self.networks.get(rolling.service)
            return self.cluster.update(rolling.service, rolling.request.task_definition, force=force, network=network)
        except Exception as error:
            if not transient(error):
                raise
            rolling.unanswered = message_of(error)
            self.rolling[rolling.name] = rolling
            if again > rolling.began + self.timeout:
                raise
            self.notify(f"{rolling.name}: ECS does not answer, trying again: {rolling.unanswered}")
            return None

    def _accept(
        self, rolling: Rolling, listed: tuple[Deployment, ...], ours: Deployment | None, *, returns: bool
    ) -> None:
        """Note the deployment that ECS made, and those beside it.

        Both lists count, for what DescribeServices says may be older than what UpdateService does.
        """
        number = ours.id if ours else ""
        there = {each.id: each.task_definition for each in listed if each.id != number}
        definition = rolling.request.task_definition
        stays = self.stays.get(rolling.service, 0.0)
        rolling.request = DeploymentRequest(number, definition, tuple(there.items()), returns, self.timeout, stays)

    def follow(self, name: str, request: DeploymentRequest) -> Rolling:
        """Go on watching what was ordered before."""
        service = self.services[name]
        request = replace(request, stays=self.stays.get(service, 0.0))
        rolling = self.rolling[name] = Rolling(name, service, request, self.clock.now())
        return rolling

    def wait(self) -> Verdict:
        """Watch until the verdict on all services together is known.

        The first that fails ends it: what the others are up to is of no use any more.

        Raises:
            Interrupted: we are to stop.
            ClientError: ECS does not want to talk to us any more.
        """
        began = self.clock.now()
        while True:
            known = self._check()
            outcome = verdict.together([each.verdict for each in self.rolling.values()])
            if outcome is not None:
                return outcome
            if any(each.failing for each in self.rolling.values()):
                return Verdict.FAILED
            # A busy ECS, or a replica that lags behind, is not asked at once again.
            self.clock.sleep(waiting.pause(self.clock.now() - began, self.poll) if known else self.poll)

    def _check(self) -> bool:
        """Take a snapshot of every service, and return whether ECS knew all of them.

        A single failure of ECS is no check, but time goes on.
        """
        open_ones = [each for each in self.rolling.values() if each.verdict is None]
        if not open_ones:
            return True
        try:
            states = self.cluster.services([each.service for each in open_ones])
        except Exception as error:
            if not transient(error):
                raise
            self.notify(f"ECS does not answer: {message_of(error)}")
            self._time_out(open_ones)
            return False
        for each in open_ones:
            each.check(states.get(each.service, ABSENT), self.clock.now())
            self._report_events(each)
        self.notify("; ".join(each.summary(self.targets.summary(each.name)) for each in self.rolling.values()))
        return all(states.get(each.service, ABSENT).active for each in open_ones)

    def _time_out(self, rolling: list[Rolling]) -> None:
        for each in rolling:
            if self.clock.now() - each.began >= self.timeout:
                each.verdict = Verdict.STILL_ROLLING

    def _report_events(self, rolling: Rolling) -> None:
        for message in rolling.events():
            if message not in self._reported:
                self._reported.add(message)
                self.note(message)


def _accepted(rolling: Rolling, old: Snapshot, new: Snapshot) -> Deployment | None:
    """Return the deployment that an unanswered call has made; None when it has made none."""
    before = {each.id for each in old.deployments}
    mine = (each for each in new.deployments if each.task_definition == rolling.request.task_definition)
    return next((each for each in mine if each.id not in before), None)


def _judge_others(rolling: Rolling, old: Snapshot, new: Snapshot, ours: Deployment | None) -> None:
    """See whether another deployment has come meanwhile: then there is nothing to call again for."""
    before = {each.id: each.task_definition for each in old.deployments}
    if ours or new.primary is None or new.primary.id in before:
        return
    returned = new.primary.task_definition in before.values()  # ours was taken, and has failed already
    rolling.seen.append(new)
    rolling.verdict = Verdict.FAILED if returned else Verdict.SUPERSEDED
