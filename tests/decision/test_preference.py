"""Preferred channels and exploration: draws are among what is left, and the logged probabilities are true."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decision.decide import Decision, decide
from decision.preference import unrivalled
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Customer
from tests.decision.plans import plan_of

RATE = 0.4
CATALOG = f"""
customer: {{prefers: list<string>, name: string}}
exploration: {{rate: {RATE}}}
preferred_channel: customer.prefers
channels: {{web: {{direction: inbound}}, app: {{direction: inbound}}, kiosk: {{direction: inbound}}}}
actions:
  a:
    value: 3
    treatments: {{web: {{t: x}}, app: {{t: x}}, kiosk: {{t: "{{% if true %}}{{{{ customer.name }}}}{{% endif %}}"}}}}
  b: {{value: 2, treatments: {{web: {{t: x}}, app: {{t: x}}}}}}
  c: {{value: 1, treatments: {{web: {{t: x}}}}}}
"""
SEEDS = range(2000)


PLAN = plan_of(CATALOG)


def _decisions(**attributes: Any) -> list[Decision]:
    ask = resolve(NextActionRequest("c"), PLAN)
    return [decide(PLAN, ask, view_of(PLAN, Customer(attributes)), 1, seed) for seed in SEEDS]


def _assert_true(decisions: list[Decision], expected: dict[str, float]) -> None:
    """What is logged is what was expected, and about as often as that it came."""
    logged = {pick.treatment.id: pick.chosen.probability for each in decisions for pick in each.picks if pick.chosen}
    assert logged == pytest.approx(expected)
    found = Counter(pick.treatment.id for each in decisions for pick in each.picks)
    for name, probability in expected.items():
        assert abs(found[name] / len(decisions) - probability) < 0.05, name


def test_exploration_draws_among_what_is_left() -> None:
    third = RATE / 3
    _assert_true(_decisions(prefers=["app"]), {"a/app": 1 - RATE + third, "b/app": third, "c/web": third})


def test_what_comes_back_is_never_drawn() -> None:
    """The kiosk's text can't be written: once in a while it is drawn, and then there is nothing."""
    third = RATE / 3
    decisions = _decisions(prefers=["kiosk", "app"])
    _assert_true(decisions, {"a/app": 1 - RATE, "b/app": third, "c/web": third})
    assert any(not each.picks for each in decisions)


@pytest.mark.parametrize("prefers", [[], ["fax"], ["app"]])
def test_no_preference_no_channel_and_none_among_them_change_nothing(prefers: list[str]) -> None:
    ask = resolve(NextActionRequest("c", channels=["web", "kiosk"]), PLAN)
    known, unknown = Customer({"prefers": prefers}), Customer({})
    for seed in range(20):
        one, two = (decide(PLAN, ask, view_of(PLAN, each), 1, seed).picks for each in (known, unknown))
        assert one == two


@given(st.integers(0, 2**9 - 1), st.lists(st.sampled_from([0b111, 0b111 << 3, 0b111 << 6]), max_size=4))
def test_one_channel_of_each_action_that_has_one_preferred(mask: int, channels: list[int]) -> None:
    """Of three actions on three channels: bits three apart are of the same action."""
    expected = 0
    for action in range(3):
        mine = mask & 0b001001001 << action
        dearest = next((channel for channel in channels if mine & channel), mine)
        expected |= mine & dearest
    assert unrivalled(PLAN, mask, tuple(channels)) == expected
