"""Arbitration: positions, the draws, the product of the factors, exploration's probabilities, the control group."""

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.plan import Plan
from decision.arbitration import Arbiter, Chosen, draws, in_control
from rules.masks import positions
from rules.programs import Frame
from tests.decision.plans import plan_of

FOUR = """
context: {page: string}
channels: {web: {direction: inbound}}
actions:
  a: {value: 4, context_weights: {home: {when: context.page == "home", percent: 1}}, treatments: {web: {t: x}}}
  b: {value: 3, context_weights: {home: {when: context.page == "home", percent: 2}}, treatments: {web: {t: x}}}
  c: {value: 2, context_weights: {home: {when: context.page == "home", percent: 3}}, treatments: {web: {t: x}}}
  d: {value: 1, context_weights: {home: {when: context.page == "home", percent: 4}}, treatments: {web: {t: x}}}
"""
AT = datetime(2026, 1, 1, tzinfo=UTC)
ELSEWHERE = Frame({}, {}, AT)

# Kept for ever: a record made by one version is decided again by the next.
GOLDEN_DRAWS = [0.07336358803025222, 0.2425524780990681, 0.2416938942850595]
GOLDEN_MEMBERS = [8, 44, 48, 59, 81]


@pytest.fixture(scope="module")
def four() -> Plan:
    return plan_of(FOUR)


def never() -> float:
    raise AssertionError("nothing is drawn where nothing is explored")


def choose(arbiter: Arbiter, candidates: int) -> Chosen:
    """The winner where every candidate's content can be rendered."""
    drawn, best = arbiter.explore(candidates), arbiter.best(candidates)
    return arbiter.chosen(best if drawn is None else drawn, best, candidates.bit_count())


@given(st.integers(1, 2**300))
def test_positions_are_the_set_bits(mask: int) -> None:
    assert positions(mask).tolist() == [bit for bit in range(mask.bit_length()) if mask >> bit & 1]


def test_draws_follow_from_the_seed_alone_and_for_ever() -> None:
    draw = draws(42)
    assert [draw() for _ in range(3)] == GOLDEN_DRAWS
    assert draws(43)() != GOLDEN_DRAWS[0]
    assert 0.0 <= draws(0)() < 1.0
    assert 0.0 <= draws(2**64 - 1)() < 1.0


def test_draws_are_uniform_within_and_across_seeds() -> None:
    draw = draws(7)
    for numbers in ([draw() for _ in range(20_000)], [draws(seed)() for seed in range(20_000)]):
        assert all(0.0 <= number < 1.0 for number in numbers)
        counts = Counter(int(number * 64) for number in numbers)
        expected = len(numbers) / 64
        chi_square = sum((counts[cell] - expected) ** 2 / expected for cell in range(64))
        assert 30.0 < chi_square < 103.4  # 63 degrees of freedom: one in a thousand is above


numbers = st.floats(0, 1e9) | st.sampled_from([0.0, 0.5, 1.0, 3.0])
percents = st.floats(-40, 900) | st.sampled_from([-40.0, 0.0, 50.0, 100.0])
mild = percents.filter(lambda percent: percent > -33)
declared_actions = st.lists(
    st.fixed_dictionaries(
        {
            "value": numbers,
            "propensity": st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0]),
            "lever": st.dictionaries(
                st.sampled_from("xyz"), percents.filter(lambda percent: percent > -33), max_size=2
            ),
            "home": percents,
            "new": mild,
            "channels": st.sampled_from([["web"], ["in_app"], ["web", "in_app"]]),
        }
    ),
    min_size=1,
    max_size=8,
)
switches = st.fixed_dictionaries({}, optional=dict.fromkeys(("propensity", "context", "value", "lever"), st.booleans()))
pages = st.sampled_from([{}, {"page": "home"}, {"page": "home", "new": True}, {"new": True}])


def _catalog(actions: list[dict[str, Any]], on: dict[str, bool]) -> Plan:
    written = {
        f"a{place}": {
            "value": action["value"],
            "propensity": action["propensity"],
            "lever": action["lever"],
            "context_weights": {
                "home": {"when": 'context.page == "home"', "percent": action["home"]},
                "new": {"when": "context.new", "percent": action["new"]},
            },
            "treatments": {channel: {"t": "x"} for channel in action["channels"]},
        }
        for place, action in enumerate(actions)
    }
    return plan_of(
        "context: {page: string, new: bool}\n"
        "channels: {web: {direction: inbound}, in_app: {direction: inbound}}\n"
        f"arbitration: {json.dumps(on)}\nactions: {json.dumps(written)}\n"
    )


def _priority(action: dict[str, Any], on: dict[str, bool], context: dict[str, Any]) -> float:
    """By the definition, left to right."""
    held = [action["home"]] * (context.get("page") == "home") + [action["new"]] * ("new" in context)
    priority = float(action["propensity"]) if on.get("propensity", True) else 1.0
    priority *= 1.0 + sum(held) / 100.0 if on.get("context", True) else 1.0
    priority *= action["value"] if on.get("value", True) else 1.0
    lever = 1 + sum(action["lever"].values()) / 100
    return float(priority * lever if on.get("lever", True) else priority)


@pytest.mark.parametrize("longest_walk", [0, 64])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), actions=declared_actions, on=switches, context=pages)
def test_the_winner_has_the_highest_product_from_left_to_right_in_doubles(
    monkeypatch: pytest.MonkeyPatch,
    longest_walk: int,
    data: st.DataObject,
    actions: list[dict[str, Any]],
    on: dict[str, bool],
    context: dict[str, Any],
) -> None:
    monkeypatch.setattr("decision.arbitration.LONGEST_WALK", longest_walk)  # 0: always by the vector
    plan = _catalog(actions, on)
    width = len(actions)
    bits = [t.bit for t in plan.treatments if t is not None]
    among = sorted(data.draw(st.sets(st.sampled_from(bits), min_size=1)))
    expected = {bit: _priority(actions[bit % width], on, context) for bit in among}
    best = max(among, key=lambda bit: expected[bit])
    chosen = choose(Arbiter(plan, Frame({}, context, AT), never), sum(1 << bit for bit in among))
    action = actions[best % width]
    assert chosen == Chosen(best, action["propensity"], action["value"], expected[best], 1.0, False)


def test_ties_go_to_the_lowest_bit() -> None:
    plan = plan_of(re.sub("value: .", "value: 2", FOUR))
    assert [Arbiter(plan, ELSEWHERE, never).best(mask) for mask in (0b1111, 0b1110, 0b1000)] == [0, 1, 3]


@pytest.mark.parametrize("mask", [0b1111, 0b1011, 0b0100])
def test_the_probability_told_is_how_often_it_happens(four: Plan, mask: int) -> None:
    rate, rounds = 0.3, 6000
    plan = replace(four, exploration_rate=rate)
    told: dict[int, float] = {}
    happened: Counter[int] = Counter()
    explored = 0
    for seed in range(rounds):
        chosen = choose(Arbiter(plan, ELSEWHERE, draws(seed)), mask)
        assert told.setdefault(chosen.bit, chosen.probability) == chosen.probability
        assert chosen.explored == (chosen.bit != positions(mask)[0])
        happened[chosen.bit] += 1
        explored += chosen.explored
    count = mask.bit_count()
    best = int(positions(mask)[0])
    assert told == {
        bit: pytest.approx(1 - rate + rate / count if bit == best else rate / count) for bit in positions(mask).tolist()
    }
    for bit, probability in told.items():
        spread = (rounds * probability * (1 - probability)) ** 0.5
        assert abs(happened[bit] - rounds * probability) <= 4 * spread
    assert sum(told.values()) == pytest.approx(1)


def test_the_first_draw_says_whether_and_the_second_which(four: Plan) -> None:
    plan = replace(four, exploration_rate=0.3)
    for numbers, bit in (([0.3], None), ([0.29999, 0.0], 0), ([0.0, 0.75], 3), ([0.0, 0.9999999999999999], 3)):
        assert Arbiter(plan, ELSEWHERE, iter(numbers).__next__).explore(0b1111) == bit


def test_without_exploration_nothing_is_drawn(four: Plan) -> None:
    assert Arbiter(four, ELSEWHERE, never).explore(0b1111) is None


def test_the_control_group_is_a_fixed_share_drawn_anew_by_another_salt() -> None:
    ids = [f"customer-{number}" for number in range(20_000)]
    members = {customer for customer in ids if in_control(customer, "salt", 0.1)}
    others = {customer for customer in ids if in_control(customer, "pepper", 0.1)}
    spread = (20_000 * 0.1 * 0.9) ** 0.5
    assert abs(len(members) - 2000) <= 4 * spread
    assert abs(len(members & others) - 200) <= 4 * 200**0.5
    assert members < {customer for customer in ids if in_control(customer, "salt", 0.2)}
    assert not any(in_control(customer, "salt", 0.0) for customer in ids)
    assert in_control("", "", 1.0)
    assert in_control("ñandú-\U0001f9ed", "s" * 1000, 1.0)


def test_who_is_in_the_control_group_stays_in_it() -> None:
    members = [number for number in range(100) if in_control(f"customer-{number}", "grocery", 0.1)]
    assert members == GOLDEN_MEMBERS
