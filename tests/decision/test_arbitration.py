"""Arbitration: positions, the draws, the product of the factors, exploration's probabilities, the control group."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.plan import Plan
from decision.arbitration import Arbiter, Chosen, draws, in_control, positions
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
HOME = Frame({}, {"page": "home"}, datetime(2026, 1, 1, tzinfo=UTC))
ELSEWHERE = Frame({}, {}, datetime(2026, 1, 1, tzinfo=UTC))

# Kept for ever: a record made by one version is decided again by the next.
GOLDEN_DRAWS = [0.07336358803025222, 0.2425524780990681, 0.2416938942850595]
GOLDEN_MEMBERS = [8, 44, 48, 59, 81]


@pytest.fixture(scope="module")
def four() -> Plan:
    return plan_of(FOUR)


def never() -> float:
    raise AssertionError("nothing is drawn where nothing is explored")


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


factors = st.lists(st.floats(0, 1e9), min_size=4, max_size=4)
percents = st.lists(st.floats(-20, 400), min_size=4, max_size=4)


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4),
    percents,
    factors,
    factors,
    st.sets(st.integers(0, 3), min_size=1),
)
def test_priority_is_the_product_from_left_to_right_in_doubles(
    four: Plan, propensity: list[float], context: list[float], value: list[float], lever: list[float], among: set[int]
) -> None:
    assert four.context_weights is not None
    plan = replace(
        four,
        propensity=np.array(propensity),
        value=np.array(value),
        lever=np.array(lever),
        context_weights=replace(four.context_weights, percents=np.array(context)),
    )
    mask = sum(1 << bit for bit in among)
    here = {bit: propensity[bit] * (1.0 + context[bit] / 100.0) * value[bit] * lever[bit] for bit in among}
    there = {bit: propensity[bit] * value[bit] * lever[bit] for bit in among}
    for frame, expected in ((HOME, here), (ELSEWHERE, there)):
        best = max(sorted(expected), key=lambda bit: expected[bit])
        chosen = Arbiter(plan, frame, never).choose(mask)
        assert chosen == Chosen(best, propensity[best], value[best], expected[best], 1.0, False)


@pytest.mark.parametrize("off", ["use_propensity", "use_value", "use_lever"])
def test_a_factor_that_is_off_counts_as_1(four: Plan, off: str) -> None:
    columns = {"propensity": 0.5, "value": 3.0, "lever": 7.0}
    plan = replace(four, **{name: np.full(4, number) for name, number in columns.items()})
    plan = replace(plan, **{off: False})
    product = 1.0
    for name, number in columns.items():
        product *= 1.0 if off == f"use_{name}" else number
    assert Arbiter(plan, ELSEWHERE, never).choose(1).priority == product


def test_ties_go_to_the_lowest_bit(four: Plan) -> None:
    plan = replace(four, value=np.full(4, 2.0))
    assert [Arbiter(plan, ELSEWHERE, never).choose(mask).bit for mask in (0b1111, 0b1110, 0b1000)] == [0, 1, 3]


@pytest.mark.parametrize("mask", [0b1111, 0b1011, 0b0100])
def test_the_probability_told_is_how_often_it_happens(four: Plan, mask: int) -> None:
    rate, rounds = 0.3, 6000
    plan = replace(four, exploration_rate=rate)
    told: dict[int, float] = {}
    happened: Counter[int] = Counter()
    explored = 0
    for seed in range(rounds):
        chosen = Arbiter(plan, ELSEWHERE, draws(seed)).choose(mask)
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
    for numbers, bit in (([0.3], 0), ([0.29999, 0.0], 0), ([0.0, 0.75], 3), ([0.0, 0.9999999999999999], 3)):
        assert Arbiter(plan, ELSEWHERE, iter(numbers).__next__).choose(0b1111).bit == bit


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
