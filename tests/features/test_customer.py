"""The customer: encoding, merge patches, whose consent statement stands, which contacts are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from features.consents import with_consent
from features.customer import (
    EMPTY,
    MOST_SHARED,
    Consent,
    Contact,
    Customer,
    Identity,
    Labels,
    Logged,
    Response,
    micros,
    moment,
    shared_labels,
    with_attributes,
    with_contacts,
)
from features.encoding import decode, encode, encode_longer
from tests.customers import SOME_DECISION, customer_of

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.integers(-62_135_510_400_000_000, 253_402_214_400_000_000).map(moment)  # the years 1 to 9999
values = (
    texts
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.booleans()
    | times
    | st.lists(texts, max_size=3)
)
contacts = st.builds(Contact, st.integers(0, 2**53), *[texts] * 4, st.binary(min_size=16, max_size=16).map(bytes.hex))
customers = st.builds(
    customer_of,
    st.dictionaries(texts, values, max_size=4),
    st.dictionaries(texts, st.builds(Consent, st.booleans(), st.integers(0, 2**53), texts), max_size=2),
    st.lists(contacts, max_size=3).map(tuple),
    st.booleans(),
)


def contact(at: int) -> Contact:
    return Contact(at, "a", "web", "", "inbound", SOME_DECISION)


@given(customers)
def test_a_customer_comes_back_as_it_was_types_and_all(customer: Customer) -> None:
    back = decode(encode(customer))
    assert back == customer
    for name, value in customer.attributes.items():
        assert type(back.attributes[name]) is type(value)
        if isinstance(value, datetime):
            assert back.attributes[name].tzinfo is UTC


def _seen(keys: tuple[tuple[str, str], ...] = ()) -> Customer:
    contact = Contact(5, "hello", "web", "greetings", "inbound", SOME_DECISION, keys)
    customer = with_contacts(Customer(), (contact,))
    return replace(customer, log=(replace(customer.log[0], responses=(Response("impression", 2**40, 2**40),)),))


def test_what_customers_have_alike_is_in_memory_once() -> None:
    one, other = (decode(encode(_seen())) for _ in range(2))
    assert one == other == _seen()
    assert one.labels[0] is other.labels[0] is with_contacts(EMPTY, one.contacts).labels[0]
    (here,), (there,) = (customer.log[0].responses for customer in (one, other))
    assert here.kind is there.kind
    assert here.first is here.last


def test_of_labels_that_only_one_customer_has_none_are_remembered() -> None:
    keys = (("context.page", "/of/one"),)
    one, other = (decode(encode(_seen(keys))) for _ in range(2))
    assert one == other == _seen(keys)
    assert one.labels[0] is not other.labels[0]


def test_no_more_labels_are_remembered_than_so_many() -> None:
    first = shared_labels(Labels("first", "web", "", "inbound"))
    for number in range(MOST_SHARED + 1):
        shared_labels(Labels(f"a-{number}", "web", "", "inbound"))
    again = Labels("first", "web", "", "inbound")
    assert shared_labels(again) is again is not first


def test_no_bytes_are_a_customer_nobody_knows() -> None:
    assert decode(b"") == EMPTY
    assert EMPTY.anonymous


@pytest.mark.parametrize("body", [b"\xc1", b"\x90\x90", b"\x81", encode(EMPTY)[:-1], b"\x94\xa1x\x80\xc2\x00"])
def test_other_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode(body)


@pytest.mark.parametrize(
    ("customer", "anonymous"),
    [
        (customer_of(contacts=(contact(1),)), True),
        (Customer({"a": 1}), False),
        (Customer(consents={"marketing": Consent(False, 1)}), False),
        (Customer(test=True), False),
    ],
)
def test_known_only_from_our_own_contacts_is_anonymous(customer: Customer, anonymous: bool) -> None:
    assert customer.anonymous is anonymous


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers()),
    st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers()),
)
def test_changes_are_a_merge_patch(before: dict[str, Any], changes: dict[str, Any]) -> None:
    customer = customer_of(before, {"m": Consent(True, 1)}, (contact(1),), True)
    after = with_attributes(customer, changes)
    expected = {name: value for name, value in {**before, **changes}.items() if value is not None}
    assert after == replace(customer, attributes=expected)
    assert customer.attributes == before


@given(st.lists(st.integers(0, 20), max_size=12).map(sorted), st.integers(-1, 21), st.integers(0, 12))
def test_of_old_contacts_none_is_dropped_that_is_lasting_or_among_the_last(
    times: list[int], since: int, latest: int
) -> None:
    before = customer_of(contacts=map(contact, times))
    added = (contact(21), contact(21))

    def lasting(_: object, going: tuple[Logged, ...], __: object) -> tuple[Logged, ...]:
        return tuple(each for each in going if each.at > since)

    after = with_contacts(before, added, latest, lasting)
    expected = [at for place, at in enumerate(times) if at > since or place >= len(times) - latest]
    assert after.contacts == (*map(contact, expected), *added)
    assert with_contacts(before, added).contacts == (*before.contacts, *added)


more = st.fixed_dictionaries(
    {},
    optional={
        "series": st.dictionaries(
            st.integers(0, 2**32 - 1), st.just([[19_000], [3], [5]]) | st.integers(0, 9), max_size=3
        ),
        "earlier": st.just({"m": (Consent(True, 1), Consent(False, 2, "form"))}),
        "changed": st.integers(0, 2**60),
        "identity": st.just(Identity("", ("a", "b"), {"x": (3, "a")})),
    },
)


@given(customers, more, st.lists(st.tuples(contacts, st.booleans()), max_size=25))
def test_what_is_encoded_longer_is_the_customer_with_the_contacts_added(
    customer: Customer, more: dict[str, Any], added: list[tuple[Contact, bool]]
) -> None:
    customer = replace(customer, **more)
    body, span = encode(customer), None
    for contact, forgotten in added:
        after = with_contacts(customer, (contact,))
        longer = encode_longer(body, None if forgotten else span, customer, after)
        if longer is None:
            assert not customer.log or len(after.labels) > len(customer.labels)
            body, span = encode(after), None
        else:
            body, span = longer
        assert decode(body) == after
        customer = after


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12).map(sorted),
    st.integers(0, 12),
    st.sets(st.integers(0, 11)),
    st.integers(1, 8),
)
def test_what_is_encoded_longer_has_lost_what_was_dropped(
    times: list[int], latest: int, staying: set[int], added: int
) -> None:
    """Contacts may go from the middle: what lifetime policies count stays, whatever its age."""
    before = customer_of(contacts=map(contact, times))

    def lasting(_: object, going: tuple[Logged, ...], __: object) -> tuple[Logged, ...]:
        return tuple(each for place, each in enumerate(going) if place in staying)

    after = with_contacts(before, tuple(contact(31 + n) for n in range(added)), latest, lasting)
    longer = encode_longer(encode(before), None, before, after)
    if len(after.log) < len(before.log) + added:
        assert longer is None
    else:
        assert longer is not None
        assert decode(longer[0]) == after


def test_only_contacts_make_it_longer() -> None:
    before = customer_of({"a": 1}, {"m": Consent(True, 1)}, (contact(1), contact(2)))
    after = with_contacts(before, (contact(3),))
    body = encode(before)
    assert encode_longer(body, None, before, after) is not None
    for other in (
        before,
        with_attributes(after, {"a": 2}),
        with_consent(after, "m", Consent(False, 2)),
        replace(after, test=True),
        replace(after, erased=1),
        replace(after, log=after.log[1:]),
        replace(after, labels=(*after.labels, Labels("x", "", "", ""))),
        replace(after, series={1: 2}),
        replace(after, earlier={"m": (Consent(False, 0),)}),
        replace(after, changed=1),
        replace(after, identity=Identity("c-2")),
    ):
        assert encode_longer(body, None, before, other) is None


def test_a_state_of_before_events_is_read_and_written_anew() -> None:
    """It had six fields, and contacts of three."""
    before = customer_of({"a": 1}, contacts=(contact(1), contact(2)))
    whole = msgspec.msgpack.decode(encode(before))
    old = msgspec.msgpack.encode([*whole[:5], [entry[:3] for entry in whole[5]]])
    assert decode(old) == before
    assert encode_longer(old, None, decode(old), with_contacts(decode(old), (contact(3),))) is None


def test_a_state_whose_contacts_had_fewer_fields_is_written_anew() -> None:
    before = customer_of({"a": 1}, contacts=map(contact, range(20)))
    whole = msgspec.msgpack.decode(encode(before))
    old = msgspec.msgpack.encode([*whole[:5], [entry[:4] for entry in whole[5]], *whole[6:]])
    assert decode(old) == before
    after = with_contacts(decode(old), (contact(21),))
    assert encode_longer(old, None, decode(old), after) is None


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-6)), timezone(timedelta(hours=5, minutes=45))])
    )
)
def test_microseconds_are_exact(at: datetime) -> None:
    assert datetime.fromisoformat("1970-01-01T00:00:00+00:00") + timedelta(microseconds=micros(at)) == at


@given(times)
def test_moments_come_back(at: datetime) -> None:
    assert moment(micros(at)) == at
    assert moment(micros(at)).tzinfo is UTC
