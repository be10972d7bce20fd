"""What a release is asked from outside, through the load balancer: `x-health` and `x-aws` of its services decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from stackhand.project.stack.model import Stack
from stackhand.project.stack.xaws import Fargate, Probe

NOTHING = "nothing is probed from outside: no service has x-aws.paths and a health path"


class Question(msgspec.Struct, frozen=True):
    """One path that is asked through the load balancer."""

    service: str  # that has to answer
    path: str  # asked for
    commit: bool = False
    """Whether its JSON has to have the `commit` that was released; otherwise it only has to answer 200."""


@dataclass(frozen=True)
class Web:
    """What decides which paths of a service are asked."""

    paths: Sequence[str]  # that the load balancer sends to it
    health: str | None  # its `x-health`
    probe: Probe | bool = True  # its `x-aws.probe`
    host: Sequence[str] = ()  # the host names for which requests reach it; any, where there are none


class ProbeReport(msgspec.Struct, frozen=True):
    """The `probe` of docs/output.md: what is asked, in a sentence and one by one, and what cannot be."""

    message: str
    asked: list[Question]
    notes: list[str]


@dataclass(frozen=True)
class Questions:
    """All that is asked of a release, and what cannot be."""

    asked: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def version(self) -> str | None:
        """The path that tells the commit; None when no service has one."""
        return next((each.path for each in self.asked if each.commit), None)

    def message(self) -> str:
        """Return in a sentence what is asked."""
        health = [f"{each.path} ({each.service}) for 200" for each in self.asked if not each.commit]
        commit = [f"{each.path} ({each.service}) for the commit" for each in self.asked if each.commit]
        return f"probed after the rollout: {', '.join(health + commit)}" if self.asked else NOTHING

    def report(self) -> ProbeReport:
        """Return it as the `probe` of docs/output.md."""
        return ProbeReport(self.message(), list(self.asked), list(self.notes))


def of_stack(stack: Stack) -> Questions:
    """Return what a release of these services is asked."""
    return of(webs_of(stack))


def webs_of(stack: Stack) -> dict[str, Web]:
    """Return the services that run on Fargate."""
    return {
        name: Web(service.aws.paths, service.health, service.aws.probe, service.aws.host)
        for name, service in stack.services.items()
        if isinstance(service.aws, Fargate)
    }


def of(webs: Mapping[str, Web]) -> Questions:
    """Return what is asked of services; a path that leads to another service is not, and a note says so."""
    asked: list[Question] = []
    notes: list[str] = []
    general = {name: web for name, web in webs.items() if not web.host}
    for name, web in webs.items():
        if web.host and web.paths:
            notes.append(
                f"{name} is not probed from outside: it answers {', '.join(web.host)}; the load balancer checks it"
            )
        if web.host or not web.paths:
            continue
        if web.probe is False:
            notes.append(f"{name} is not probed from outside: x-aws.probe is false")
            continue
        for question in _questions(name, web):
            if leads_to(question.path, general) == name:
                asked.append(question)
            else:
                notes.append(f"{question.path} of {name} cannot be probed from outside: {_why(question.path, general)}")
    return Questions(tuple(sorted(asked, key=lambda each: each.commit)), tuple(notes))


def leads_to(path: str, webs: Mapping[str, Web]) -> str | None:
    """Return the service that the load balancer sends a path to, by the rules of terraform/load_balancer.tf."""
    path = _bare(path)
    health = {name: _bare(web.health) for name, web in webs.items() if web.health}
    rules = {
        asked: name
        for name, asked in health.items()
        if webs[name].paths and asked != "/" and [*health.values()].count(asked) == 1
    }
    rules |= {pattern: name for name, web in webs.items() for pattern in web.paths}
    matching = [
        pattern for pattern in rules if pattern == path or (pattern[-1] == "*" and path.startswith(pattern[:-1]))
    ]
    return rules[max(matching, key=_written_out)] if matching else None


def _bare(path: str) -> str:
    """Return a path without its query, of which a rule for paths knows nothing."""
    return path.partition("?")[0]


def _written_out(pattern: str) -> int:
    """Return how many letters a pattern fixes; a whole path comes before one with a star."""
    return len(pattern) - 1 if pattern.endswith("*") else len(pattern) + 1


def _questions(name: str, web: Web) -> list[Question]:
    probe = web.probe if isinstance(web.probe, Probe) else Probe()
    path = probe.path or web.health
    health = [Question(name, path)] if path else []
    return [*health, *([Question(name, probe.version, commit=True)] if probe.version else [])]


def _why(path: str, webs: Mapping[str, Web]) -> str:
    other = leads_to(path, webs)
    return f"it is routed to {other}; only the load balancer checks it" if other else "no x-aws.paths route to it"
