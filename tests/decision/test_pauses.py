"""Pauses where chance would not look: what is kept for them, and when the next decision knows of them."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from catalog.limits import After
from catalog.plan import Plan
from decision.lasting import lasting
from decision.pauses import Counters, Responses, last_pausing, paused
from decision.view import view_of
from features.customer import Contact, Customer, Response, with_contacts
from tests.customers import SOME_DECISION, customer_of
from tests.decision.plans import plan_of

DAY = 86_400_000_000
CATALOG = """
channels: {web: {direction: inbound}}
actions:
  a: {value: 2, treatments: {web: {t: x}}}
  b: {value: 1, treatments: {web: {t: x}}}
contact_policies:
  p: {after: {outcome: dismiss, times: 2, rolling: 30d}, pause: 90d, per: action, scope: {action: a}}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


def _contact(action: str, at: int) -> Contact:
    return Contact(at, action, "web", "", "inbound", SOME_DECISION)


def _dismissed(customer: Customer, place: int, at: int) -> Customer:
    log = list(customer.log)
    log[place] = replace(log[place], responses=(Response("dismiss", at, at),))
    return replace(customer, log=tuple(log))


def test_contacts_are_kept_for_the_window_and_the_pause(plan: Plan) -> None:
    assert plan.history == 120 * DAY
    assert plan.lifetime_ms == 121 * DAY // 1000


@pytest.mark.parametrize(("action", "ago", "kept"), [("a", 119, True), ("a", 120, False), ("b", 1, False)])
def test_what_was_dismissed_late_is_kept_while_that_matters(plan: Plan, action: str, ago: int, kept: bool) -> None:
    """A contact of a year ago, dismissed so many days ago: policies look at it only while it may still pause."""
    now = 1000 * DAY
    customer = _dismissed(customer_of(contacts=[_contact(action, now - 365 * DAY)]), 0, now - ago * DAY)
    later = with_contacts(customer, (_contact("b", now),), 0, partial(lasting, plan, now))
    assert [contact.at for contact in later.contacts] == [now - 365 * DAY] * kept + [now]


def test_the_next_decision_knows_of_a_response(plan: Plan) -> None:
    known = customer_of(contacts=[_contact("a", 1), _contact("a", 2)])
    told = _dismissed(known, 1, 3)
    before = view_of(plan, known)
    assert before.responded == {}
    after = view_of(plan, told, before)
    assert after == view_of(plan, told)
    assert after.responded == {0: {(): {("a",): Responses([3], [])}}}
    more = with_contacts(told, (_contact("b", 4),))
    assert view_of(plan, more, after).responded is after.responded
    merged = _dismissed(more, 0, 2)
    assert view_of(plan, merged, after).responded == {0: {(): {("a",): Responses([2, 3], [])}}}


def test_of_several_responses_the_first_counts_when_it_was_and_the_others_at_the_last() -> None:
    responses = Responses()
    responses.add(After("dismiss", 3, 1, ""), Response("dismiss", 10, 20, 5), 0)
    assert responses.looked_for == [10, 20, 20, 20]  # no more than could ever matter
    assert last_pausing(After("dismiss", 3, 1, ""), [responses]) == 20
    assert last_pausing(After("dismiss", 4, 10, ""), [responses]) is None
    assert last_pausing(After("dismiss", 4, 11, ""), [responses]) == 20
    responses.add(After("dismiss", 3, 1, "click"), Response("click", 11, 21, 2), 0)
    assert responses.preventing == [21]
    assert last_pausing(After("dismiss", 4, 11, "click"), [responses]) is None


def test_what_is_dated_before_its_contact_pauses_from_the_contact_on(plan: Plan) -> None:
    """The clock that dated it was behind. Else the pause would have been over before it began."""
    shown, now = [_contact("a", 1000 * DAY), _contact("a", 1000 * DAY + 1)], 1000 * DAY + 2
    customer = _dismissed(_dismissed(customer_of(contacts=shown), 0, 800 * DAY), 1, 1)
    view = view_of(plan, customer)
    assert view.responded == {0: {(): {("a",): Responses([1000 * DAY, 1000 * DAY + 1], [])}}}
    after = plan.policies[0].after
    assert after is not None
    assert paused(after, 90 * DAY, view.responded[0], (), now) == {("a",): 1}
    again = _dismissed(customer, 0, 900 * DAY)
    assert view_of(plan, again, view) == view_of(plan, again)
    kept = with_contacts(customer, (_contact("b", now + 119 * DAY),), 0, partial(lasting, plan, now + 119 * DAY))
    assert len(kept.contacts) == 3


def test_a_pause_begins_with_the_response_and_is_over_after_its_time() -> None:
    counters: Counters = {(): {("a",): Responses([1000])}}
    closed = [now for now in range(1000, 1020) if paused(After("dismiss", 1, 1, ""), 10, counters, (), now)]
    assert closed == list(range(1000, 1010))


times = st.lists(st.integers(0, 12), max_size=6)


@given(times, times, st.integers(1, 4), st.integers(1, 6))
def test_the_last_that_pauses_is_the_last_of_all_that_do(
    counting: list[int], preventing: list[int], most: int, window: int
) -> None:
    def pauses(last: int) -> bool:
        within = [at for at in counting if last - window < at <= last]
        return len(within) >= most and not any(at > last - window for at in preventing)

    found = last_pausing(After("dismiss", most, window, "click"), [Responses(counting, []), Responses([], preventing)])
    assert found == max((at for at in counting if pauses(at)), default=None)
