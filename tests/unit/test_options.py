"""The options of a step: declared once, and converted from what people and earlier steps give."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

import pytest
from ansible.plugins.loader import action_loader

from stackhand.ansible.action import StepOptions, check_options, convert_options
from stackhand.cli.failure import ExitCode, Failure
from stackhand.release.context import Timing
from tests.checkout import ROOT, Checkout, clean_environment


class Sample(StepOptions):
    environment: str
    manifest: dict[str, int]
    severity: Literal["any", "high"] = "high"
    dirty: bool = False
    wait: float = 0.0
    timing: Timing = Timing()


GIVEN = {"environment": "staging", "manifest": {"a": 1}}


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("dirty", "false", False),
        ("dirty", "yes", True),
        ("dirty", True, True),
        ("wait", "1800", 1800.0),
        ("wait", 5, 5.0),
        ("severity", "any", "any"),
        ("timing", {"poll": "0.1", "probes": 2.0}, Timing(poll=0.1, probes=2)),
    ],
)
def test_an_option_has_its_declared_type_whatever_form_it_is_given_in(name: str, value: Any, becomes: Any) -> None:
    found = getattr(convert_options(Sample, {**GIVEN, name: value}, "sample", "stackhand"), name)
    assert (type(found), found) == (type(becomes), becomes)


@pytest.mark.parametrize(
    ("given", "what", "evidence"),
    [
        ({"wait": "soon"}, "stackhand_wait cannot be 'soon'.", "it is a number"),
        ({"dirty": "maybe"}, "stackhand_dirty cannot be 'maybe'.", "it is true or false"),
        ({"severity": "hihg"}, "stackhand_severity cannot be 'hihg'.", "it is one of any, high"),
        ({"environment": 5}, "stackhand_environment cannot be 5.", "it is a text"),
        ({"timing": {"pol": 1}}, "stackhand_timing cannot be {'pol': 1}.", "unknown field `pol`"),
        ({"wiat": 1}, "The step sample has no option wiat.", "environment, manifest, severity, dirty, wait, timing"),
    ],
)
def test_a_wrong_option_of_a_step_is_named(given: dict[str, Any], what: str, evidence: str) -> None:
    with pytest.raises(Failure) as found:
        convert_options(Sample, {**GIVEN, **given}, "sample", "stackhand")
    assert (found.value.what, found.value.code) == (what, ExitCode.USAGE)
    assert evidence in found.value.evidence[0]


@pytest.mark.parametrize(
    ("given", "what", "following"),
    [
        ({"stackhand_wiat": 1}, "This playbook has no option stackhand_wiat.", "-e stackhand_wait=VALUE"),
        ({"preflight_wait": 1}, "This playbook has no option preflight_wait.", "-e stackhand_wait=VALUE"),
        ({"stackhand_manifest": {}}, "This playbook has no option stackhand_manifest.", ""),
        ({"stackhand_wait": "soon"}, "stackhand_wait cannot be 'soon'.", ""),
    ],
    ids=["typo", "former-name", "of-a-step", "type"],
)
def test_what_no_step_takes_is_refused_before_the_first(given: dict[str, Any], what: str, following: str) -> None:
    with pytest.raises(Failure) as found:
        check_options(given, [("stackhand", Sample)])
    assert (found.value.what, found.value.code) == (what, ExitCode.USAGE)
    assert following in found.value.next


def test_what_is_not_ours_or_is_a_template_is_left_to_ansible() -> None:
    check_options({"ansible_verbosity": 3, "mine": "x", "stackhand_wait": "{{ mine }}"}, [("stackhand", Sample)])


def test_every_step_declares_options_that_can_be_converted_to() -> None:
    for path in ROOT.glob("plugins/action/*.py"):
        action_loader.add_directory(str(path.parent))
        step = action_loader.get(path.stem, class_only=True)
        with pytest.raises(Failure, match="has no option"):
            convert_options(step.Options, {"no such": 1}, path.stem, step.prefix)


def playbook(checkout: Checkout, *words: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "ansible.cli.playbook", *words]
    said = subprocess.run(argv, cwd=checkout.path, env=clean_environment(), capture_output=True, text=True, check=False)
    return said.returncode, said.stdout + said.stderr


def test_a_bare_playbook_takes_options_by_hand_and_ends_with_the_exit_codes_of_the_contract(
    checkout: Checkout,
) -> None:
    data = checkout.state / "data" / "postgres"
    data.mkdir(parents=True)
    code, said = playbook(checkout, "playbooks/down.yml", "-e", "stack_volumes=maybe")
    assert (code, "stack_volumes cannot be 'maybe'." in said, data.exists()) == (ExitCode.USAGE, True, True), said
    code, said = playbook(checkout, "playbooks/down.yml", "-e", "stack_volumes=false")
    assert (code, data.exists()) == (ExitCode.DONE, True), said
    code, said = playbook(checkout, "playbooks/down.yml", "-e", "stack_volumes=true")
    assert (code, data.exists()) == (ExitCode.DONE, False), said
    (checkout.path / ".env").write_text("WEB_PORT=none\n", encoding="utf-8")
    code, said = playbook(checkout, "playbooks/up.yml", "-e", "stack_engine=embedded")
    assert (code, "WEB_PORT" in said) == (ExitCode.PREFLIGHT, True), said
