"""Cap pressure, against deciding once more without any contact policy."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.plan import Plan
from decision.decide import Decision, decide
from decision.record import outcome_of
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Contact, Customer, with_contacts
from models.scoring import Scored
from tests.customers import SOME_DECISION
from tests.decision.plans import plan_of

ACTIONS = """
channels:
  web: {direction: inbound, placements: [top, side]}
actions:
  a: {value: 8, treatments: {web: {t: x, placements: [top]}}}
  b: {value: 4, treatments: {web: {t: x}}}
  c: {value: 2, treatments: {web: {t: x}}}
  d: {value: 1, treatments: {web: {t: x, placements: [side]}}}
"""
VALUES = {"a": 8.0, "b": 4.0, "c": 2.0, "d": 1.0}
NOW = 1_780_000_000_000_000
SECOND = 1_000_000


def contacted(*actions: str) -> Customer:
    """Contacts of a moment ago."""
    made = (Contact(NOW - SECOND, action, "web", "", "inbound", SOME_DECISION) for action in actions)
    return with_contacts(Customer(), tuple(made))


def plan_with(policies: dict[str, Any], more: str = "") -> Plan:
    return plan_of(f"{ACTIONS}{more}contact_policies: {json.dumps(policies)}\n")


def once(*actions: str) -> dict[str, Any]:
    # The way in which contacts count is no matter here: each was made a second ago.
    return {"limit": 1, "rolling": "1d", "scope": {"action": list(actions)}}


def decided(plan: Plan, customer: Customer, **request: Any) -> Decision:
    ask = resolve(NextActionRequest("c", **request), plan)
    return decide(plan, ask, view_of(plan, customer), NOW, seed=1)


def pressure(plan: Plan, decision: Decision) -> dict[str, float]:
    return dict(outcome_of(plan, decision).pressure)


FREE = plan_of(ACTIONS)
scopes = st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True)


@pytest.mark.untraced
@settings(deadline=None)
@given(st.lists(scopes, max_size=3), st.lists(st.sampled_from("abcd"), max_size=3, unique=True))
def test_it_is_what_would_have_won_without_policies(covered: list[list[str]], before: list[str]) -> None:
    plan = plan_with({f"p{number}": once(*scope) for number, scope in enumerate(covered)})
    customer = contacted(*before)
    decision = decided(plan, customer)
    (best,) = decided(FREE, customer).picks
    lost = VALUES[best.treatment.action] - sum(VALUES[pick.treatment.action] for pick in decision.picks)
    charged = {
        f"p{number}": lost
        for number, scope in enumerate(covered)
        if best.treatment.action in scope and set(scope) & set(before)
    }
    assert pressure(plan, decision) == charged
    assert decision.picks[:1] != (best,) or not charged


def test_each_slot_is_looked_at_by_itself() -> None:
    plan = plan_with({"top": once("a"), "both": once("a", "b", "d")})
    picked = decided(plan, contacted("a"), placements=["top", "side"])
    assert [(pick.placement, pick.treatment.action) for pick in picked.picks] == [("top", "c")]
    # At the top a (8) gave way to c (2); then, c being taken, b (4) at the side had nothing to give way to.
    assert pressure(plan, picked) == {"top": 6.0, "both": 6.0 + 4.0}


def test_what_was_picked_for_one_slot_is_not_missed_in_the_next() -> None:
    plan = plan_with({"side": {**once("b/web"), "scope": {"treatment": "b/web"}}})
    picked = decided(plan, contacted("b"), placements=["top", "side"])
    assert [pick.treatment.action for pick in picked.picks] == ["a", "c"]
    assert pressure(plan, picked) == {"side": 2.0}


def test_what_is_held_back_and_would_not_have_won_costs_nothing() -> None:
    plan = plan_with({"rarely": once("b", "c")})
    assert pressure(plan, decided(plan, contacted("b"))) == {}


def test_by_counters_of_their_own() -> None:
    plan = plan_with({"each": {"limit": 1, "rolling": "1d", "per": "action"}})
    assert pressure(plan, decided(plan, contacted("a"))) == {"each": 4.0}


def test_what_models_score_is_compared_by_its_score() -> None:
    plan = plan_with({"rarely": once("a", "b")})
    bits = {name: next(t.bit for t in plan.treatments if t is not None and t.action == name) for name in "abcd"}
    scored_plan = _scored_by_a_model(plan, bits["a"], bits["b"])

    def score(candidates: int, _frame: object) -> Scored:
        found = {bits["a"]: 0.5, bits["b"]: 0.125}
        return Scored({bit: p for bit, p in found.items() if candidates >> bit & 1})

    ask = resolve(NextActionRequest("c"), scored_plan)
    view = view_of(scored_plan, contacted("a"))
    assert pressure(scored_plan, decide(scored_plan, ask, view, NOW, 1, score)) == {"rarely": 8 * 0.5 - 2.0}
    # Without scores nobody knows whether they would have won; and nothing is amiss for what may be chosen.
    without = decide(scored_plan, ask, view, NOW, 1)
    assert (pressure(scored_plan, without), without.degraded) == ({}, ())
    missing = decide(scored_plan, ask, view_of(scored_plan, Customer()), NOW, 1)
    assert missing.degraded == ("model",)


def _scored_by_a_model(plan: Plan, *bits: int) -> Plan:
    return replace(plan, scored={"m": sum(1 << bit for bit in bits)}, shapes={}, counting={})


PREFERS = """
preferred_channel: '["app"]'
channels: {web: {direction: inbound}, app: {direction: inbound}}
actions:
  a: {value: 8, treatments: {web: {t: x}, app: {t: x}}}
  b: {value: 4, treatments: {web: {t: x}}}
"""


def test_what_yields_to_a_preferred_channel_is_not_lost() -> None:
    plan = plan_of(PREFERS + "contact_policies: {rarely: {limit: 0, rolling: 1d, scope: {treatment: a/web}}}\n")
    assert pressure(plan, decided(plan, Customer())) == {}
    plan = plan_of(PREFERS + "contact_policies: {rarely: {limit: 0, rolling: 1d, scope: {channel: app}}}\n")
    decision = decided(plan, Customer())
    assert [pick.treatment.id for pick in decision.picks] == ["a/web"]
    assert pressure(plan, decision) == {"rarely": 0.0}


def test_exploration_is_no_doing_of_a_policy() -> None:
    plan = plan_with({"rarely": once("d")}, "exploration: {rate: 0.9}\n")
    ask, view = resolve(NextActionRequest("c"), plan), view_of(plan, contacted("d"))
    explored = next(made for seed in range(99) if (made := decide(plan, ask, view, NOW, seed)).reason == "explored")
    assert pressure(plan, explored) == {}


def test_nothing_left_loses_all_of_it() -> None:
    plan = plan_with({"never": {"limit": 0, "rolling": "1d"}})
    assert pressure(plan, decided(plan, Customer())) == {"never": 8.0}


def test_what_the_control_group_does_not_get_is_not_lost_to_policies() -> None:
    plan = plan_with({"rarely": once("a")}, "purposes: [marketing]\ncontrol_group: {share: 0.9999}\n")
    decision = decided(plan, contacted("a"))
    assert decision.withheld
    assert not decision.picks
    assert pressure(plan, decision) == {}
