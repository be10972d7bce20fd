"""The load: wrk as fast as a candidate answers, hey at a fixed rate; and what each of them saw."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

REPORT = """\
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"codes":%d,"sockets":%d,"timeouts":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
"""
"""Has wrk end with one JSON object; its times are microseconds, ours milliseconds."""
NEEDED = ("wrk", "hey")


@dataclass(frozen=True)
class Load:
    """What a round of wrk saw.

    Args:
        rate: answers a second.
        p50: milliseconds within which half of the answers came.
        p99: milliseconds within which 99 of 100 came.
        failures: answers of 400 and above, broken connections, and answers that took longer than 2 s. It knows
            nothing of requests that were never answered.
    """

    rate: float
    p50: float
    p99: float
    failures: int


@dataclass(frozen=True)
class Rate:
    """What a run of hey saw.

    Args:
        codes: answers by their code.
        number: requests.
        p50: milliseconds within which half of the requests had an answer; infinity where fewer had one.
        p99: milliseconds within which 99 of 100 had one.
        longest: milliseconds within which all had one.
    """

    codes: Counter[int]
    number: int
    p50: float
    p99: float
    longest: float


def missing() -> list[str]:
    """Return the programs that are not installed."""
    return [name for name in NEEDED if not shutil.which(name)]


def wrk(url: str, connections: int, seconds: int) -> Load:
    """Ask a URL over connections that are kept, each as soon as it has its answer."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "report.lua"
        script.write_text(REPORT)
        words = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "-s", str(script), url]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=seconds + 30)
    return parse_wrk(said.stdout)


def parse_wrk(text: str) -> Load:
    """Return what wrk said in the object at its end."""
    told = json.loads(text[text.rindex("{") :])
    answered = told["requests"] > 0
    failures = told["codes"] + told["sockets"] + told["timeouts"]
    nothing = float("inf")
    return Load(
        told["requests"] / told["seconds"],
        told["p50"] if answered else nothing,
        told["p99"] if answered else nothing,
        failures,
    )


def hey(url: str, connections: int, rate: float, *, seconds: int, timeout: int) -> subprocess.Popen[str]:
    """Start asking a URL at a fixed rate, which wrk cannot; and unlike wrk it can be told what was not answered.

    Args:
        url: what to ask.
        connections: how many, kept.
        rate: requests a second on each connection.
        seconds: for how long, where all is answered; what hangs makes it longer.
        timeout: seconds after which a request is given up and its connection closed.
    """
    number = str(expected(connections, rate, seconds))
    words = ["hey", "-n", number, "-c", str(connections), "-q", f"{rate:g}", "-t", str(timeout), "-o", "csv", url]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def expected(connections: int, rate: float, seconds: int) -> int:
    """Return how many requests hey makes."""
    return connections * int(rate * seconds)


def parse_hey(lines: Iterable[str], number: int) -> Rate:
    """Return what hey wrote as CSV, a line for each answer.

    Args:
        lines: of the CSV.
        number: how many requests were made; one without an answer took for ever.
    """
    codes: Counter[int] = Counter()
    times: list[float] = []
    for row in csv.DictReader(lines):
        codes[int(row["status-code"])] += 1
        times.append(float(row["response-time"]) * 1000)
    times += [float("inf")] * (number - len(times))
    return Rate(codes, number, percentile(times, 50), percentile(times, 99), max(times, default=float("inf")))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of 100 do not exceed (the nearest rank); infinity where there are none."""
    if not values:
        return float("inf")
    rank = -(-len(values) * share // 100)
    return sorted(values)[max(0, int(rank) - 1)]
