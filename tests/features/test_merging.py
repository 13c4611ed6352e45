"""What two profiles come to as one: the same in any order, any grouping, however often."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catalog.series import Aggregates, Kept, Series
from features.consents import DOUBT, with_consent, with_consent_now
from features.customer import Consent, Contact, Customer, Identity, Logged, Response, with_attributes, with_contacts
from features.encoding import decode, encode
from features.events import Event
from features.merging import (
    Profile,
    alias_of,
    frozen,
    is_frozen,
    is_merged,
    merged_ids,
    thawed,
    united,
    without_events,
)
from features.series import put
from rules.types import AttributeType

TILE = 10
SERIES = {
    number: Series(number, kept, "e", "p", None, 0 if kept is Kept.LATEST else TILE, 0, kept is Kept.ADDED, newest)
    for number, (kept, newest) in enumerate([(kept, newest) for kept in Kept for newest in (False, True)])
}
NAMES = "abc"

times = st.integers(1, 40)
moments = times.map(lambda number: number * DOUBT // 4)
statements = st.builds(Consent, st.booleans(), moments, st.sampled_from(["", "form"]))
events = st.tuples(st.sampled_from(sorted(SERIES)), times, st.integers(-3, 3))


def contact(number: int) -> Contact:
    """Another number, another decision; some share their labels, some their time."""
    return Contact(number // 2, "ab"[number % 2], "web", "g", "inbound", f"{number:032x}")


@st.composite
def profiles(draw: st.DrawFn, name: str) -> Profile:
    """Nobody has a contact of somebody else's; all else may be the same."""
    customer = Customer(test=draw(st.booleans()), erased=draw(st.just(0) | moments))
    values = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3), max_size=3)
    customer = with_attributes(customer, draw(values), draw(times))
    for purpose, statement in draw(st.lists(st.tuples(st.sampled_from("mn"), statements), max_size=4)):
        customer = with_consent(customer, purpose, statement)
    numbers = sorted(draw(st.sets(st.integers(0, 9), max_size=4)))
    customer = with_contacts(customer, tuple(contact(each * 3 + NAMES.index(name)) for each in numbers))
    series: dict[int, Any] = {}
    for key, at, value in draw(st.lists(events, max_size=6)):
        series[key] = put(SERIES[key], series.get(key), at, value)
    return Profile(name, replace(customer, series=series))


together = st.tuples(*(profiles(name) for name in NAMES))
fewer = settings(max_examples=50, deadline=None)


def into(survivor: Profile, other: Profile) -> Profile:
    return Profile(survivor.id, united(survivor, other, SERIES))


def content(profile: Profile) -> Mapping[str, Any]:
    """All that is known, but for the id under which; attributes with the profile and the time they are from."""
    customer, own = profile.customer, (profile.customer.changed, profile.id)
    origins = customer.identity.origins if customer.identity else {}
    told = msgspec.structs.asdict(customer)
    for name in ("identity", "changed", "labels", "log"):
        del told[name]
    attributes = {name: (value, origins.get(name, own)) for name, value in customer.attributes.items()}
    ids = {profile.id, *merged_ids(customer)}
    return {**told, "attributes": attributes, "contacts": customer.contacts, "ids": ids}


@fewer
@given(together)
def test_it_makes_no_difference_who_is_merged_into_whom(three: tuple[Profile, ...]) -> None:
    one, two, _ = three
    assert content(into(one, two)) == content(into(two, one))


@fewer
@given(together)
def test_nor_in_which_order_or_by_which_way(three: tuple[Profile, ...]) -> None:
    a, b, c = three
    expected = into(into(c, b), a)
    assert into(into(c, a), b) == expected
    assert into(c, into(b, a)) == expected
    assert into(c, into(a, b)) == expected
    for order in permutations(three):
        assert content(reduce(into, order)) == content(expected)


@fewer
@given(together)
def test_nor_how_often_but_for_what_is_added_up(three: tuple[Profile, ...]) -> None:
    a, b, _ = (Profile(each.id, without_sums(each.customer)) for each in three)
    once = into(a, b)
    assert into(once, b) == once
    assert into(once, Profile(a.id, replace(a.customer, identity=None))) == once
    assert content(into(b, once)) == content(once)


def without_sums(customer: Customer) -> Customer:
    kept = {key: stored for key, stored in customer.series.items() if SERIES[key].kept is not Kept.ADDED}
    return replace(customer, series=kept)


@fewer
@given(together)
def test_what_is_united_can_be_stored(three: tuple[Profile, ...]) -> None:
    customer = reduce(into, three).customer
    assert decode(encode(customer)) == customer
    assert [each.at for each in customer.log] == sorted(each.at for each in customer.log)
    assert sorted({each.labels for each in customer.log}) == list(range(len(customer.labels)))


def profile(name: str, **fields: Any) -> Profile:
    return Profile(name, Customer(**fields))


def test_of_attributes_those_of_the_profile_that_changed_last_stand() -> None:
    old = profile("old", attributes={"x": 1, "y": 1}, changed=1)
    new = profile("new", attributes={"x": 2, "z": 2}, changed=2)
    into_old = united(old, new, {})
    assert into_old.attributes == {"x": 2, "y": 1, "z": 2}
    assert into_old.identity == Identity("", ("new",), {"x": (2, "new"), "z": (2, "new")})
    into_new = united(new, old, {})
    assert into_new.attributes == {"x": 2, "y": 1, "z": 2}
    assert into_new.identity == Identity("", ("old",), {"y": (1, "old")})
    # What is stated of the survivor is its own again.
    stated = with_attributes(into_new, {"y": 3}, 5)
    assert (stated.identity, stated.changed) == (Identity("", ("old",)), 5)
    assert united(Profile("new", stated), profile("late", attributes={"y": 4}, changed=4), {}).attributes["y"] == 3


def test_the_newest_statement_stands_of_the_same_time_the_refusal_and_the_others_are_kept() -> None:
    one = profile("one", consents={"m": Consent(True, 2, "b")}, earlier={"m": (Consent(False, 1),)})
    two = profile("two", consents={"m": Consent(False, 2, "a"), "n": Consent(True, 1)})
    both = united(one, two, {})
    assert both.consents == {"m": Consent(False, 2, "a"), "n": Consent(True, 1)}
    assert both.earlier == {"m": (Consent(False, 1), Consent(True, 2, "b"))}


def test_of_two_in_force_the_refusal_stands_in_doubt_but_what_followed_a_no_of_its_own_still_does() -> None:
    yes = Consent(True, 10 * DOUBT)
    toggled = with_consent_now(Customer(consents={"m": Consent(False, yes.at - 1)}), "m", yes)
    assert united(Profile("one", toggled), profile("two"), {}).consents["m"] == yes
    for before, granted in ((1, False), (DOUBT, False), (DOUBT + 1, True)):
        two = profile("two", consents={"m": Consent(False, yes.at - before, "two")})
        assert united(Profile("one", toggled), two, {}).consents["m"].granted is granted


def test_a_yes_from_before_either_was_erased_is_a_no() -> None:
    one = profile("one", consents={"m": Consent(True, 2), "n": Consent(True, 4)})
    both = united(one, profile("two", erased=3), {})
    assert (both.erased, both.consents) == (3, {"m": Consent(False, 2), "n": Consent(True, 4)})
    # As with a no of then in the first place: it may have been made after the yes.
    twice = profile("one", consents={"m": Consent(True, 4)}, earlier={"m": (Consent(True, 2),)})
    assert united(twice, profile("two", erased=3), {}).consents == {"m": Consent(False, 2)}


def test_a_contact_of_both_is_kept_once_with_what_came_of_it_in_either() -> None:
    def answered(*responses: Response) -> Customer:
        customer = with_contacts(Customer(), (contact(1),))
        only = customer.log[0]
        return replace(customer, log=(Logged(only.at, only.labels, only.decision, responses),))

    one = answered(Response("click", 5, 9, 2, 7), Response("impression", 1, 1))
    two = answered(Response("click", 4, 8, 3, 1), Response("dismiss", 2, 2))
    (both,) = united(Profile("one", one), Profile("two", two), {}).contacts
    assert both.responses == (
        Response("click", 4, 9, 3, 7),
        Response("dismiss", 2, 2),
        Response("impression", 1, 1),
    )


def test_a_contact_that_one_of_both_put_off_since_is_kept_where_it_was_put_off_to() -> None:
    def at(time: int, valid_for: int) -> Profile:
        made = replace(contact(1), at=time, valid_for=valid_for)
        return Profile(f"at {time}", with_contacts(Customer(), (made,)))

    early, late = at(5, 100), at(65, 40)
    for both in (united(early, late, {}), united(late, early, {})):
        assert [(each.at, each.valid_for) for each in both.contacts] == [(65, 40)]


def test_series_that_no_plan_knows_are_kept() -> None:
    one, two = profile("one", series={1: [[1], [2], []], 2: 5}), profile("two", series={1: [[1], [3], []], 3: 6})
    assert united(one, two, {}).series == {1: [[1], [3], []], 2: 5, 3: 6}
    assert united(two, one, {}).series == united(one, two, {}).series


def test_frozen_thawed_and_cleared() -> None:
    before = Customer({"x": 1}, identity=Identity("", ("older",), {"x": (1, "older")}))
    held = frozen(before, "own", "other")
    assert (held.attributes, merged_ids(held)) == ({"x": 1}, ("older", "own"))
    assert is_merged(held)
    assert is_frozen(held)
    assert thawed(held, "own") == before
    assert thawed(frozen(Customer(), "own", "other"), "own") == Customer()
    alias = alias_of("other")
    assert is_merged(alias)
    assert not is_frozen(alias)
    assert not is_merged(before)
    assert merged_ids(united(profile("other"), Profile("own", held), {})) == ("older", "own")


@pytest.mark.parametrize("sums", [False, True])
def test_what_an_event_added_is_taken_out_and_nothing_else(sums: bool) -> None:
    added = Series(1, Kept.ADDED, "e", "p", None, TILE, 0, sums)
    most = Series(2, Kept.MOST, "e", "p", None, TILE, 0)
    aggregates = Aggregates(
        series=(added, most),
        declared={"e": {"p": AttributeType.INT}},
        needed={"e": frozenset({"p"})},
        of_event={"e": (added, most)},
    )
    series = {1: put(added, put(added, None, 5, 3), 25, 4), 2: put(most, None, 5, 3)}
    customer = Customer(series=series)
    once = without_events(customer, [Event("1", "e", 5, 5, {"p": 3}), Event("2", "f", 5, 5, {"p": 3})], aggregates)
    assert once.series == {1: [[2], [1], [4] if sums else []], 2: series[2]}
    # One that was not counted: of a type that no longer fits, without the property.
    assert without_events(once, [Event("3", "e", 25, 25, {"p": "x"}), Event("4", "e", 25, 25)], aggregates) == once
    assert without_events(once, [Event("5", "e", 25, 25, {"p": 4})], aggregates).series == {2: series[2]}
    # Who was sent it too has counted nothing then: it came before the aggregate was declared, and counts for neither.
    shared = [Event("1", "e", 5, 5, {"p": 3})]
    assert without_events(customer, shared, aggregates, Customer()) == customer
    assert without_events(customer, shared, aggregates, customer) == without_events(customer, shared, aggregates)
    assert without_events(customer, shared, aggregates, customer) != customer
    assert customer.series == series
