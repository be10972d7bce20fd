"""Scores are worth something only if they can be too low."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import psutil
import pytest

from stackhand.cli.failure import Failure
from stackhand.development import mutation
from stackhand.development import verbs as development
from stackhand.development.mutation import MODULES, TESTS, Score, scores, too_low
from tests.checkout import ROOT, clean_environment

FINISHED = """
    service.cache.xǁCacheǁ__init____mutmut_1: killed
    service.cache.xǁCacheǁ__init____mutmut_2: survived
    service.cache.x__reason__mutmut_1: timeout
    service.cache.x__reason__mutmut_2: no tests
    service.cache.x__reason__mutmut_3: skipped
    service.health.state.x_advance__mutmut_1: killed
"""


def of(module: str) -> Score:
    return next(score for score in scores(FINISHED) if score.module == module)


def test_what_is_killed_or_hangs_is_noticed() -> None:
    score = of("service/cache.py")
    assert (score.noticed, score.changes, score.percent) == (2, 4, 50.0)
    assert score.missed == ("service.cache.xǁCacheǁ__init____mutmut_2", "service.cache.x__reason__mutmut_2")
    assert str(score) == "service/cache.py: 50.0 %, 2 of 4 changes noticed"


def test_a_module_without_a_change_is_as_bad_as_one_with_too_few_noticed() -> None:
    assert "service/health/state.py" not in too_low(scores(FINISHED))
    assert {"service/cache.py", "service/answer.py"} <= set(too_low(scores(FINISHED)))


@pytest.mark.parametrize(("noticed", "low"), [(84, ["a"]), (85, [])])
def test_eighty_five_percent_are_enough(noticed: int, low: list[str]) -> None:
    assert too_low([Score("a", noticed, 100, ())]) == low


def test_a_run_that_was_cut_off_has_no_score() -> None:
    assert scores(FINISHED + "service.cache.x_a__mutmut_1: not checked\n") == []


def test_what_is_changed_and_what_has_to_notice_are_there() -> None:
    assert [name for name in (*MODULES, *TESTS) if not (ROOT / name).exists()] == []


def test_the_settings_are_toml() -> None:
    found = tomllib.loads(mutation._settings())["tool"]["mutmut"]
    assert (found["only_mutate"], found["source_paths"]) == (list(MODULES), ["service", "stackhand"])


def test_the_verb_fails_when_a_score_is_too_low(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(development, "_install", lambda: None)
    monkeypatch.setattr(development, "_seeded", lambda: 0)
    monkeypatch.setattr(mutation, "run", lambda: [Score("a", 7, 10, ("a.x_b__mutmut_1",)), Score("b", 9, 10, ())])
    with pytest.raises(Failure, match="a"):
        development.check_mutation()
    said = capsys.readouterr().out
    assert "a: 70.0 %" in said
    assert "b: 90.0 %" in said
    assert "a.x_b__mutmut_1" in said
    monkeypatch.setattr(mutation, "run", lambda: [Score("b", 9, 10, ())])
    development.check_mutation()
    monkeypatch.setattr(development, "_seeded", lambda: 1)
    with pytest.raises(Failure, match="seeded in terraform/"):
        development.check_mutation()


def test_what_a_test_started_that_was_cut_off_ends_too() -> None:
    words = ["sh", "-c", "sleep 300 & echo $!; exec sleep 300"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stdout is not None
        orphan = psutil.Process(int(child.stdout.readline()))
        child.kill()
        child.wait()
        mutation.end_session(child.pid)
        psutil.wait_procs([orphan], 10)
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_its_tests_are_found_without_the_parts_of_pytest_that_it_leaves_out() -> None:
    words = [sys.executable, "-m", "pytest", "--quiet", "--collect-only", *mutation.QUIET, *TESTS]
    said = subprocess.run(words, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout
