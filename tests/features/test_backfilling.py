"""Filling in: state and log, each of which may have forgotten something, come to what all events come to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.plan import Plan
from features.applying import apply_events
from features.backfilling import filled, told
from features.customer import EMPTY
from tests.decision.plans import plan_of
from tests.features.slow_aggregates import DAY_US
from tests.features.test_aggregates import CATALOG, START, histories, sent

NOW = START + 9 * DAY_US


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


@given(history=histories, declared=st.integers(0, 25), begins=st.integers(0, 25))
def test_state_and_log_together_know_all_that_either_does(
    plan: Plan, history: list[Any], declared: int, begins: int
) -> None:
    """Events come one by one: the state counts from the one at which its series were declared, the log begins later."""
    events = sent(history)
    whole = apply_events(plan, EMPTY, events, NOW)
    state = apply_events(plan, EMPTY, events[declared:], NOW).customer
    log = told(plan.aggregates, whole.events[begins:], 0, NOW)
    wanted = apply_events(plan, EMPTY, events[min(declared, begins) :], NOW).customer
    after = filled(state, plan.aggregates, log, None, NOW, anew=False)
    assert after.series == wanted.series
    assert filled(after, plan.aggregates, log, None, NOW, anew=False) is after
    anew = filled(state, plan.aggregates, log, None, NOW, anew=True)
    assert anew.series == apply_events(plan, EMPTY, events[begins:], NOW).customer.series


def test_only_what_is_chosen_changes_and_nothing_is_dropped(plan: Plan) -> None:
    events = sent([("login", START, {}), ("purchase", START, {"amount": 1.0})])
    state = apply_events(plan, EMPTY, events[:1], NOW).customer
    state.series[1] = [[0], [1], []]  # of another catalog
    log = told(plan.aggregates, apply_events(plan, EMPTY, events, NOW).events, 0, NOW)
    spend = next(plan.aggregates.series[each.series].key for each in plan.aggregates.values if each.name == "spend")
    after = filled(state, plan.aggregates, log, {spend}, NOW, anew=False)
    assert after.series.keys() == {*state.series, spend}
    assert 1 not in filled(state, plan.aggregates, log, None, NOW, anew=False).series


def test_what_was_erased_stays_so_and_misfits_are_counted(plan: Plan) -> None:
    applied = apply_events(plan, EMPTY, sent([("login", START, {})]), NOW)
    assert told(plan.aggregates, applied.events, NOW, NOW).series == {}
    (event,) = applied.events
    odd = type(event)("x", "purchase", event.at, event.received, {"amount": "much"})
    assert told(plan.aggregates, [event, odd], 0, NOW).misfits == 1
