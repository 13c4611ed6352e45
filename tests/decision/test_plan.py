"""The plan: the schedule against looking at every action, the grid of treatments, customers' zones."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.plan import customer_zone, schedule_of
from decision.view import view_of
from features.customer import EMPTY, Contact, Customer
from rules.masks import bits
from tests.customers import SOME_DECISION, customer_of
from tests.decision.plans import plan_of

moments = st.none() | st.integers(-3, 6)


@given(st.lists(st.tuples(moments, moments), max_size=8), st.integers(-5, 8))
def test_a_schedule_holds_from_inclusive_until_exclusive(
    periods: list[tuple[int | None, int | None]], now: int
) -> None:
    live = {
        action
        for action, (start, end) in enumerate(periods)
        if (start is None or start <= now) and (end is None or now < end)
    }
    assert set(bits(schedule_of(periods).at(now))) == live


def test_the_grid_has_a_bit_per_action_and_channel_and_knows_which_are_declared() -> None:
    plan = plan_of("""
channels: {web: {direction: inbound, placements: [top, feed]}, in_app: {direction: inbound, placements: [feed]}}
actions:
  a: {value: 1, treatments: {in_app: {t: x}}}
  b: {value: 2, treatments: {web: {t: x, placements: [top]}, in_app: {t: x}}}
""")
    assert [treatment and treatment.id for treatment in plan.treatments] == [None, "b/web", "a/in_app", "b/in_app"]
    assert list(bits(plan.declared)) == [1, 2, 3]
    assert {name: list(bits(mask)) for name, mask in plan.placements.items()} == {"top": [1], "feed": [2, 3]}
    assert {name: list(bits(channel.mask)) for name, channel in plan.channels.items()} == {"web": [1], "in_app": [2, 3]}
    assert (plan.actions_of(0b0110), plan.treatments_of(0b10)) == (0b11, 0b1010)
    assert plan.value.tolist() == [1.0, 2.0, 1.0, 2.0]
    with pytest.raises(LookupError):
        plan.treatment(0)


@pytest.mark.parametrize("unknown", ["", "Nowhere", "America", "../zone", "a\0b", "x" * 5000, "/etc/localtime"])
def test_a_zone_we_do_not_know_is_no_zone(unknown: str) -> None:
    assert customer_zone({"timezone": unknown}, ZoneInfo("UTC")) is None


def test_without_a_zone_of_their_own_customers_have_the_catalogs() -> None:
    assert customer_zone({}, ZoneInfo("Asia/Tokyo")) == ZoneInfo("Asia/Tokyo")
    assert customer_zone({"timezone": "Asia/Kolkata"}, ZoneInfo("Asia/Tokyo")) == ZoneInfo("Asia/Kolkata")


def test_a_view_drops_what_is_undeclared_and_what_is_no_longer_of_its_type() -> None:
    plan = plan_of("""
customer: {name: string, visits: int, spend: double, vip: bool, tags: list<string>}
contact_policies: {p: {limit: 1, rolling: 1d, scope: {channel: web}}}
channels: {web: {direction: inbound}}
""")
    fitting = {"name": "Ana", "visits": 3, "spend": 2.5, "vip": True, "tags": ["a"]}
    stored = {**fitting, "gone": 1}
    contact = Contact(5, "a", "web", "", "inbound", SOME_DECISION)
    view = view_of(plan, customer_of(stored, contacts=(contact,)))
    assert (view.at(0).attributes, view.counted) == (fitting, ([5],))
    wrong = {"name": 1, "visits": True, "spend": "2", "vip": 1, "tags": "a"}
    view = view_of(plan, Customer({**wrong, "gone": 1}))
    assert (view.at(0).attributes, view.unfit) == ({}, frozenset(wrong))
    widened = view_of(plan, Customer({"spend": 2, "name": "Ana"}))
    assert repr(widened.at(0).attributes) == repr({"spend": 2.0, "name": "Ana"})
    assert widened.unfit == frozenset()
    assert view_of(plan, EMPTY).at(0).attributes == {}
