"""Seeded mistakes in terraform/, and which of them the oracles notice: all in one copy, or each in its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from tests.oracles import environment, oracles
from tests.oracles.environment import Mutation, Refused
from tests.oracles.problem import Problem


class Verdict(msgspec.Struct, frozen=True):
    """What became of one mistake.

    Args:
        mutation: which.
        found: what was said of it; nothing where nobody noticed it.
        others: what else was said once it was made.
    """

    mutation: Mutation
    found: str
    others: tuple[str, ...] = ()


def together(
    mutations: Iterable[Mutation], folder: Path, terraform: str, variables: Mapping[str, str], profile: str
) -> list[Verdict]:
    """Make all mistakes of a profile in one copy, and return which of them an oracle names.

    Args:
        mutations: the mistakes.
        folder: the copy, which is changed.
        terraform: the command.
        variables: of its process environment.
        profile: which one.
    """
    mine = [each for each in mutations if each.profile == profile]
    for each in mine:
        each.into(folder)
    lines = [str(each) for each in oracles.problems(environment.apply(folder, terraform, variables, profile), folder)]
    return [Verdict(each, next((line for line in lines if each.shows in line), "")) for each in mine]


def one_by_one(
    mutations: Iterable[Mutation], folder: Path, terraform: str, variables: Mapping[str, str]
) -> Iterator[Verdict]:
    """Make each mistake in a copy of its own, and yield what an oracle, or Terraform, says of it.

    Only what `shows` names counts: another complaint may be of something else.
    """
    before = {name: _problems(folder, terraform, variables, name) for name in environment.PROFILES}

    def judged(number: int, mutation: Mutation) -> Verdict:
        copy = folder.parent / str(number) / "terraform"
        # Without the state: an apply over it would leave out what Terraform ignores after the first one.
        shutil.copytree(
            folder, copy, ignore=shutil.ignore_patterns(*(f"{each}.tfstate*" for each in environment.PROFILES))
        )
        for file in folder.parent.glob("*.tfvars*"):
            shutil.copy2(file, copy.parent)
        mutation.into(copy)
        try:
            problems = _problems(copy, terraform, variables, mutation.profile) - before[mutation.profile]
            lines = [str(each) for each in sorted(problems)]
        except Refused as refused:
            lines = [f"terraform: {' '.join(str(refused).split())}"]
        finally:
            shutil.rmtree(copy.parent)
        others = tuple(line for line in lines if mutation.shows not in line)
        return Verdict(mutation, next((line for line in lines if mutation.shows in line), ""), others)

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(judged, *zip(*enumerate(mutations), strict=True))


def _problems(folder: Path, terraform: str, variables: Mapping[str, str], profile: str) -> set[Problem]:
    return set(oracles.problems(environment.apply(folder, terraform, variables, profile), folder))
