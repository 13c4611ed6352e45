"""Every case comes out as it says, and so each time again."""

from pathlib import Path
from typing import Any

import pytest

from decision.reasons import Gate, Reason
from tests.decision.cases import FOLDERS, as_data, read_case

ALWAYS = {"about", "status", "reason", "picks", "removed"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_case(folder: Path) -> None:
    case = read_case(folder)
    decision = case.decide()
    expected = {"withheld": [], **case.expected}
    assert expected.keys() >= ALWAYS
    del expected["about"]
    assert _asked_for(as_data(case.plan, decision), expected) == expected
    assert case.decide() == decision


def _asked_for(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Of what was found, what the case names: every pick, but of it only the keys expected."""
    chosen = {key: found[key] for key in expected}
    for key in ("picks", "withheld"):
        chosen[key] = [
            {name: pick[name] for name in (expected[key][place] if place < len(expected[key]) else pick)}
            for place, pick in enumerate(found[key])
        ]
    return chosen


def test_the_cases_cover_every_gate_and_every_reason_an_unhindered_decision_can_have() -> None:
    expected = [read_case(folder).expected for folder in FOLDERS]
    assert {case["reason"] for case in expected} == set(Reason) - {Reason.DEGRADED}
    assert {gate for case in expected for gate in case["removed"]} == set(Gate)
