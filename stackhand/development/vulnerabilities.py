"""Known vulnerabilities of the packages in all lock files, as OSV knows them: check --vulnerabilities."""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from stackhand.cli import console
from stackhand.cli.failure import Failure
from stackhand.release.images import scan
from stackhand.system.roots import CONTENT

DATABASE = "https://api.osv.dev"
PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", re.MULTILINE)
WITHIN = 30.0
AT_ONCE = 1000
"""Packages that OSV answers for in one question."""
SHOWN = 30


class Unreachable(Exception):  # noqa: N818 - nothing is wrong here, and nothing is known
    """The database does not answer."""


@dataclass(frozen=True, order=True)
class Package:
    """A package of a lock."""

    name: str
    version: str


@dataclass(frozen=True)
class Vulnerability:
    """What OSV knows of a package: its number and other names, one line, and the versions that do not have it."""

    package: Package
    names: tuple[str, ...]
    summary: str
    fixed: tuple[str, ...]


def check(names: Iterable[str], database: str = DATABASE) -> None:
    """Look every package of some locks of the checkout up in OSV, and say so when that cannot be done.

    Raises:
        Failure: packages have known vulnerabilities that are not allowed.
    """
    locks = packages(CONTENT, names)
    try:
        vulnerabilities = look_up(sorted(locks), database)
    except Unreachable as error:
        _skip(f"{database} does not answer: {error}")
        return
    exceptions, today = {each.name: each.until for each in scan.allowed()}, datetime.now(UTC).date()
    bad = [each for each in vulnerabilities if not any(today <= exceptions.get(name, date.min) for name in each.names)]
    if bad:
        raise Failure(
            f"The locked packages have {len(bad)} known vulnerabilities.",
            evidence=[_line(each, locks[each.package]) for each in bad[:SHOWN]],
            next=f"./inv lock --upgrade; or allow one until a day in {scan.FILE}",
        )
    console.write(f"no known vulnerabilities in {len(locks)} packages")


def packages(root: Path, names: Iterable[str]) -> dict[Package, list[str]]:
    """Return the packages of some locks, for every platform, and which locks have them."""
    versions: dict[Package, list[str]] = defaultdict(list)
    for name in names:
        for package in {Package(*pin) for pin in PIN.findall((root / name).read_text(encoding="utf-8"))}:
            versions[package].append(name)
    return dict(versions)


def look_up(wanted: list[Package], database: str) -> list[Vulnerability]:
    """Return what is known of some packages.

    Raises:
        Unreachable: the database does not answer.
    """
    numbers = [
        (package, entry["id"])
        for start in range(0, len(wanted), AT_ONCE)
        for package, result in _answers(wanted[start : start + AT_ONCE], database)
        for entry in result.get("vulns") or []
    ]
    with ThreadPoolExecutor(8) as pool:
        entries = list(pool.map(lambda pair: _ask(f"{database}/v1/vulns/{pair[1]}"), numbers))
    pairs = zip(numbers, entries, strict=True)
    return [_vulnerability(package, entry) for (package, _), entry in pairs if "withdrawn" not in entry]


def _answers(wanted: list[Package], database: str) -> Iterator[tuple[Package, Mapping[str, Any]]]:
    queries = [{"package": {"ecosystem": "PyPI", "name": each.name}, "version": each.version} for each in wanted]
    results = _ask(f"{database}/v1/querybatch", {"queries": queries}).get("results") or []
    if len(results) != len(wanted):
        raise Unreachable(f"it answered {len(results)} of {len(wanted)} questions")
    return zip(wanted, results, strict=True)


def _ask(url: str, document: Any = None) -> dict[str, Any]:
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - see DATABASE
    try:
        with urllib.request.urlopen(request, timeout=WITHIN) as answer:  # noqa: S310
            return dict(json.load(answer))
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(str(getattr(error, "reason", "") or error)) from error


def _vulnerability(package: Package, entry: Mapping[str, Any]) -> Vulnerability:
    events = [
        event
        for affected in entry.get("affected") or []
        if affected.get("package", {}).get("ecosystem") == "PyPI"
        for versions in affected.get("ranges") or []
        if versions.get("type") == "ECOSYSTEM"
        for event in versions.get("events") or []
    ]
    fixed = tuple(dict.fromkeys(str(event["fixed"]) for event in events if "fixed" in event))
    names = tuple(dict.fromkeys([str(entry["id"]), *map(str, entry.get("aliases") or [])]))
    return Vulnerability(package, names, str(entry.get("summary") or "no summary"), fixed)


def _line(entry: Vulnerability, locks: list[str]) -> str:
    name = next((each for each in entry.names if each.startswith("CVE-")), entry.names[0])
    fixed = f"fixed in {', '.join(entry.fixed)}" if entry.fixed else "no fix yet"
    return f"{name}  {entry.package.name} {entry.package.version}, {fixed}: {entry.summary} ({', '.join(locks)})"


def _skip(reason: str) -> None:
    """Say that nothing was looked up, also where nobody reads the log of a job that went well."""
    console.write(f"skipped, vulnerabilities are unknown: {reason}")
    if os.environ.get("GITHUB_ACTIONS"):
        console.write(f"::warning title=Vulnerabilities were not looked up::{reason}")
