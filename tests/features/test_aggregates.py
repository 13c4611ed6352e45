"""What series keep, against the definition: any events, in any order, at any time, one by one or together."""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.plan import Plan
from catalog.series import Aggregate, Aggregates, Kept, Series
from features.aggregates import value_of, values_at
from features.applying import Sent, apply_events
from features.customer import EMPTY, Customer
from features.encoding import decode, encode
from features.readings import readings
from features.series import Stored, cut, joined, put, single, without
from tests.decision.plans import plan_of
from tests.features.slow_aggregates import DAY_US, Happened, slow_value

HOUR_US = DAY_US // 24
START = 19_000 * DAY_US  # some day in 2022, at midnight UTC

CATALOG = """
events:
  purchase: {amount: double, items: int, department: string, card: bool, paid_at: timestamp}
  login: {}
aggregates:
  logins: {count: login}
  logins_3d: {count: login, window: 3d, tile: 1d}
  logins_before: {count: login, window: 3d, offset: 3d, tile: 1d}
  purchases_12h: {count: purchase, window: 12h, tile: 1h}
  spend: {sum: purchase.amount}
  spend_2d: {sum: purchase.amount, window: 2d, tile: 6h}
  spend_before: {sum: purchase.amount, window: 2d, offset: 2d, tile: 6h}
  spend_pastry_2d:
    {sum: purchase.amount, window: 2d, tile: 6h, where: 'event.department == "PASTRY" && event.amount > 0.0'}
  mean_2d: {mean: purchase.amount, window: 2d, tile: 6h}
  items: {sum: purchase.items}
  most_items_2d: {max: purchase.items, window: 2d, tile: 1d}
  least_2d: {min: purchase.amount, window: 2d, tile: 1d}
  least_before: {min: purchase.amount, window: 2d, offset: 1d, tile: 1d}
  first_department: {first: purchase.department}
  first_department_2d: {first: purchase.department, window: 2d, tile: 6h}
  last_department: {last: purchase.department}
  last_department_2d: {last: purchase.department, window: 2d, tile: 6h}
  last_before: {last: purchase.department, window: 1d, offset: 1d, tile: 6h}
  last_paid: {last: purchase.paid_at, window: 3d, tile: 1d}
  departments_2d: {values: purchase.department, window: 2d, tile: 12h}
  departments_before: {values: purchase.department, window: 2d, offset: 2d, tile: 12h}
  different_2d: {distinct: purchase.department, window: 2d, tile: 12h}
  different_items: {distinct: purchase.items}
  days_since: {days_since: login}
  days_since_purchase: {days_since: purchase, window: 4d, where: event.card}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


DEPARTMENTS = ("PASTRY", "MEAT", "PRODUCE", "a department with a long name")
times = st.integers(START, START + 9 * DAY_US) | st.integers(0, 36).map(lambda step: START + step * 6 * HOUR_US)
purchases = st.builds(
    lambda at, cents, items, department, card: (
        "purchase",
        at,
        {
            "amount": cents / 100,
            "items": items,
            "department": department,
            "card": card,
            "paid_at": "2022-02-01T09:00:00Z",
        },
    ),
    times,
    st.integers(-500, 100_000),
    st.integers(-3, 9),
    st.sampled_from(DEPARTMENTS),
    st.booleans(),
)
logins: st.SearchStrategy[tuple[str, int, dict[str, Any]]] = times.map(lambda at: ("login", at, {}))
histories = st.lists(purchases | logins, max_size=25)


def sent(history: Sequence[tuple[str, int, dict[str, Any]]]) -> list[Sent]:
    return [Sent(str(number), "c", kind, at, told) for number, (kind, at, told) in enumerate(history)]


def read(aggregates: Aggregates, series: Series, events: Iterable[Sent]) -> list[Happened]:
    """What `series` reads of these events, by its own filter."""
    found = []
    for each in events:
        for fed, value in readings(aggregates, each.type, each.properties):
            if fed is series:
                found.append(Happened(each.at or 0, value))
    return found


def of(plan: Plan, aggregate: Aggregate) -> Series:
    return plan.aggregates.series[aggregate.series]


def test_windows_end_where_the_definition_ends_them(plan: Plan) -> None:
    """To the microsecond: one event, and every moment next to one at which an aggregate could see it come or go."""
    told = {"amount": 1.0, "items": 1, "department": "PASTRY", "card": True, "paid_at": "2022-02-01T09:00:00Z"}
    for at in (START, START + 5 * HOUR_US + 1, START + 6 * HOUR_US - 1):
        for event in (Sent("e-1", "c", "purchase", at, told), Sent("e-2", "c", "login", at)):
            stored = apply_events(plan, EMPTY, [event], at).customer.series
            for aggregate in plan.aggregates.values:
                series = of(plan, aggregate)
                seen = read(plan.aggregates, series, [event])
                tile_at = at - at % series.tile if series.tile else at
                moved = (0, aggregate.offset, aggregate.offset + aggregate.window, DAY_US, series.tile)
                for now in {start + span + by for start in (at, tile_at) for span in moved for by in (-1, 0, 1)}:
                    if now >= at:
                        value = value_of(aggregate, series, stored.get(series.key), now)
                        assert value == slow_value(aggregate, series.tile, seen, now), (aggregate.name, now - at)


@given(history=histories, order=st.randoms(use_true_random=False), moments=st.lists(times, min_size=1, max_size=6))
def test_what_is_kept_of_events_says_what_the_definition_says(
    plan: Plan, history: list[Any], order: Any, moments: list[int]
) -> None:
    aggregates = plan.aggregates
    events = sent(history)
    arriving = [*events]
    order.shuffle(arriving)
    received = max((each.at or 0 for each in events), default=START)
    customer = EMPTY
    for each in arriving:
        customer = apply_events(plan, customer, [each], received).customer
    customer = decode(encode(customer)) if customer is not EMPTY else customer
    for now in [received, *(received + (moment - START) for moment in moments)]:
        values = values_at(aggregates, customer.series, now)
        for aggregate in aggregates.values:
            series = of(plan, aggregate)
            wanted = slow_value(aggregate, series.tile, read(aggregates, series, events), now)
            assert values.by_name.get(aggregate.name) == wanted, aggregate.name


@given(history=histories, parts=st.integers(1, 4), later=st.integers(0, 10 * DAY_US))
def test_together_one_by_one_and_in_two_profiles_come_to_the_same(
    plan: Plan, history: list[Any], parts: int, later: int
) -> None:
    events = sent(history)
    now = max((each.at or 0 for each in events), default=START) + later
    one_by_one = reduce(lambda customer, each: apply_events(plan, customer, [each], now).customer, events, EMPTY)
    together = apply_events(plan, EMPTY, events[::-1], now).customer
    assert values_at(plan.aggregates, one_by_one.series, now) == values_at(plan.aggregates, together.series, now)
    profiles = [apply_events(plan, EMPTY, events[part::parts], now).customer for part in range(parts)]
    merged = reduce(lambda one, other: united(plan, one, other), profiles)
    swapped = reduce(lambda one, other: united(plan, other, one), profiles)
    assert merged == swapped == united(plan, Customer(), one_by_one) == united(plan, Customer(), together)


def united(plan: Plan, one: Customer, other: Customer) -> Customer:
    series = {
        each.key: joined(each, one.series.get(each.key), other.series.get(each.key)) for each in plan.aggregates.series
    }
    return Customer(series={key: stored for key, stored in series.items() if stored is not None})


@given(history=histories, moment=st.integers(0, 12 * DAY_US))
def test_values_hold_until_the_time_that_they_say(plan: Plan, history: list[Any], moment: int) -> None:
    events = sent(history)
    now = max((each.at or 0 for each in events), default=START)
    customer = apply_events(plan, EMPTY, events, now).customer
    values = values_at(plan.aggregates, customer.series, now + moment)
    for later in (now + moment, (now + moment + values.until) // 2, values.until - 1):
        assert values_at(plan.aggregates, customer.series, later).by_name == values.by_name
    if values.until < now + 1000 * DAY_US:
        assert values_at(plan.aggregates, customer.series, values.until).until > values.until


@given(history=histories, later=st.integers(0, 24).map(lambda step: step * 6 * HOUR_US))
def test_what_is_cut_off_was_seen_by_nobody(plan: Plan, history: list[Any], later: int) -> None:
    events = sent(history)
    now = max((each.at or 0 for each in events), default=START)
    stored = apply_events(plan, EMPTY, events, now).customer.series
    short: dict[int, Stored] = {}
    for series in plan.aggregates.series:
        left = cut(series, stored[series.key], now + later) if series.key in stored else None
        if left is not None:
            short[series.key] = left
    assert values_at(plan.aggregates, short, now + later) == values_at(plan.aggregates, stored, now + later)
    for aggregate in plan.aggregates.values:
        series = of(plan, aggregate)
        now_and_then = [
            value_of(aggregate, series, kept.get(series.key), now + later + DAY_US) for kept in (short, stored)
        ]
        assert now_and_then[0] == now_and_then[1]


def test_of_a_long_text_only_its_beginning_is_kept(plan: Plan) -> None:
    """400 tiles of a text of any length would be megabytes of state."""
    told = {"amount": 1.0, "items": 1, "department": "x" * 9_000, "card": True, "paid_at": "2022-02-01T09:00:00Z"}
    customer = apply_events(plan, EMPTY, [Sent("e-1", "c", "purchase", START, told)], START).customer
    assert values_at(plan.aggregates, customer.series, START).by_name["last_department"] == "x" * 200
    assert len(encode(customer)) < 3_000


def test_an_event_takes_along_what_no_window_sees_any_more(plan: Plan) -> None:
    told = {"amount": 1.0, "items": 1, "department": "MEAT", "card": True, "paid_at": "2022-02-01T09:00:00Z"}
    customer = apply_events(plan, EMPTY, [Sent("e-1", "c", "purchase", START, told)], START).customer
    later = apply_events(plan, customer, [Sent("e-2", "c", "login", START + 30 * DAY_US)], START + 30 * DAY_US).customer
    for_ever = {each.key for each in plan.aggregates.series if each.event == "purchase" and not each.horizon}
    logins = {each.key for each in plan.aggregates.series if each.event == "login"}
    assert customer.series.keys() > for_ever
    assert later.series.keys() == for_ever | logins


@given(amounts=st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=10), data=st.data())
def test_an_event_counted_twice_can_be_taken_back(plan: Plan, amounts: list[int], data: st.DataObject) -> None:
    series = next(each for each in plan.aggregates.series if each.kept is Kept.ADDED and each.sums and each.tile)
    events = [(START + number * 3 * HOUR_US, cents / 100) for number, cents in enumerate(amounts)]
    taken = data.draw(st.integers(0, len(events) - 1))
    stored: Stored | None = None
    for at, value in events:
        stored = put(series, stored, at, value)
    left: Stored | None = None
    for number, (at, value) in enumerate(events):
        if number != taken:
            left = put(series, left, at, value)
    assert without(series, stored, *events[taken]) == left


def test_sums_beyond_64_bits_are_kept(plan: Plan) -> None:
    series = next(each for each in plan.aggregates.series if each.kept is Kept.ADDED and each.sums and not each.tile)
    amounts = [1e12] * 20
    stored = single(series, START, amounts[0])
    for amount in amounts[1:]:
        stored = put(series, stored, START, amount)
    customer = decode(encode(Customer(series={series.key: stored})))
    assert values_at(plan.aggregates, customer.series, START).by_name["spend"] == 2e13
    stored = put(series, customer.series[series.key], START, -1e12)
    assert values_at(plan.aggregates, {series.key: stored}, START).by_name["spend"] == 1.9e13
