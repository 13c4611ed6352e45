"""What goes from a customer's state: contacts that nothing in the catalog looks at any more."""

import json
from functools import partial

import pytest
from msgspec.structs import replace

from catalog.limits import LATE, LIFETIME
from catalog.plan import Asked, Plan
from decision.lasting import KEPT_ANYWAY, SWEEP, lasting, with_lasting
from decision.preceding import LONGEST_WAIT
from decision.request import NextActionRequest
from features.customer import Contact, Response, with_contacts
from features.deadline import Deadline
from features.encoding import encode
from features.store import CustomerStore
from tests.customers import SOME_DECISION, customer_of
from tests.decision.plans import plan_of
from tests.engines import AtOnce

NOW = 1_760_000_000_000_000
SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
CATALOG = """
customer: {email: string, contract: string}
purposes: [marketing]
channels:
  email: {direction: outbound, purpose: marketing, address: customer.email}
  web: {direction: inbound}
actions:
  news: {group: g, value: 5, treatments: {email: {t: x}, web: {t: x, valid_for: 2h}}}
  hello: {value: 1, treatments: {web: {t: x}}}
RULED
contact_policies:
"""
EMAILS = "  emails: {limit: 3, rolling: 90d, scope: {channel: email}}\n"


def _plan(policies: str, rule: str = "") -> Plan:
    ruled = f"  ruled: {{value: 2, eligible: '{rule}', treatments: {{web: {{t: x}}}}}}" if rule else ""
    return plan_of(CATALOG.replace("RULED", ruled) + policies)


def _contact(action: str, at: int, channel: str = "web", valid_for: int = 0) -> Contact:
    direction = "outbound" if channel == "email" else "inbound"
    return Contact(at, action, channel, "", direction, SOME_DECISION, valid_for=valid_for)


def _kept(plan: Plan, contact: Contact, now: int) -> bool:
    customer = customer_of(contacts=[contact])
    customer = replace(customer, log=(replace(customer.log[0], responses=contact.responses),))
    return bool(with_contacts(customer, (), 0, partial(lasting, plan, now)).log)


def test_what_nothing_counts_goes_however_long_others_are_counted() -> None:
    """As from a page that asks again and again: 6,000 contacts within the 90 days of another channel's policy."""
    plan, customer, longest = _plan(EMAILS), customer_of(contacts=[_contact("news", NOW, "email")]), 0
    for now in range(NOW, NOW + 6000 * SECOND, SECOND):
        customer = with_lasting(plan, customer, (_contact("hello", now, valid_for=HOUR // 2),), now)
        longest = max(longest, len(customer.log))
    assert longest <= KEPT_ANYWAY + SWEEP
    assert len(encode(customer)) < 3_000
    assert customer.contacts[0].channel == "email"  # the oldest, which still counts


@pytest.mark.anyio
async def test_the_state_of_who_asks_again_and_again_is_bounded(store: CustomerStore) -> None:
    engine = AtOnce(store, _plan(EMAILS))
    for _ in range(2 * (KEPT_ANYWAY + SWEEP)):
        answer = json.loads((await engine.next_action(NextActionRequest("c-1"), "key", 30.0)).body)
        assert answer["status"] == "decided"
    snapshot = await store.snapshot("c-1", Deadline(30.0), fresh=True)
    assert KEPT_ANYWAY <= len(snapshot.customer.log) <= KEPT_ANYWAY + SWEEP


MONTH = "  monthly: {limit: 3, calendar: month, scope: {channel: email}}\n"
SEEN = "  seen: {limit: 3, rolling: 1h, scope: {channel: web}}\n"
SHOWN = "  shown: {limit: 3, rolling: 1h, counts: decision, scope: {channel: web}}\n"
PAUSE = "  pause: {after: {outcome: dismiss, times: 2, rolling: 30d}, pause: 90d, scope: {channel: web}}\n"
MAIL, NEWS = _contact("news", NOW, "email"), _contact("news", NOW, valid_for=2 * HOUR)


@pytest.mark.parametrize(
    ("policies", "contact", "kept"),
    [
        (EMAILS, MAIL, 90 * DAY),
        (EMAILS, NEWS, 0),
        (EMAILS + SHOWN, NEWS, HOUR),
        (EMAILS + SHOWN, MAIL, 90 * DAY),
        (MONTH, MAIL, 32 * DAY),
        (MONTH, NEWS, 0),
        (EMAILS + SEEN, NEWS, 2 * HOUR + LATE),
        (EMAILS + SEEN, replace(NEWS, valid_for=0), HOUR),
        (EMAILS + SEEN, replace(NEWS, counts_toward_caps=False), 0),
        (EMAILS + PAUSE, NEWS, 120 * DAY),
        (EMAILS + PAUSE, replace(NEWS, counts_toward_caps=False), 120 * DAY),
        (PAUSE, MAIL, LONGEST_WAIT),
        ("  ever: {limit: 3, lifetime: true, scope: {channel: web}}\n" + EMAILS, NEWS, 2 * HOUR + LATE),
    ],
)
def test_a_contact_is_kept_for_the_longest_that_its_own_policies_may_look_at_it(
    policies: str, contact: Contact, kept: int
) -> None:
    """With a key, which tells counters apart and nothing else, as long."""
    plan = _plan(policies)
    for each in (contact, replace(contact, keys=(("customer.contract", "k"),))):
        assert not kept or _kept(plan, each, NOW + kept - 1)
        assert not _kept(plan, each, NOW + kept)


def _came(contact: Contact, kind: str, at: int) -> Contact:
    return replace(contact, responses=(Response(kind, at, at),))


@pytest.mark.parametrize(
    ("contact", "kept"),
    [
        (replace(MAIL, valid_for=3 * DAY), 3 * DAY),
        (replace(MAIL, counts_toward_caps=False), LONGEST_WAIT),
        (_came(MAIL, "click", NOW), LONGEST_WAIT),  # the `delivered` is still to come
        (_came(MAIL, "delivered", NOW + HOUR), 0),
        (_came(MAIL, "failed", NOW + HOUR), 0),
        (NEWS, 0),
    ],
)
def test_a_contact_that_nothing_counts_is_kept_while_its_message_may_wait(contact: Contact, kept: int) -> None:
    plan = _plan(SHOWN.replace("web", "email, action: hello"))
    assert not kept or _kept(plan, contact, NOW + kept - 1)
    assert not _kept(plan, contact, NOW + kept)


def test_a_contact_is_kept_while_some_window_holds_its_delivery() -> None:
    plan, late = _plan(EMAILS), _came(MAIL, "delivered", NOW + 5 * DAY)
    assert _kept(plan, late, NOW + 95 * DAY - 1)
    assert not _kept(plan, late, NOW + 95 * DAY)


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ('contacted("hello", duration("3h"))', 3 * HOUR),
        ('!contacted("hello", duration("3h")) && !contacted("hello", duration("5h"))', 5 * HOUR),
        ('contacted("news", duration("3h"))', 0),
        ('contacted("hello", duration("3h")) || since_contact("hello") > duration("1h")', LIFETIME),
        ('responded("hello", "click")', LIFETIME),
    ],
)
def test_the_last_contact_that_rules_ask_about_is_kept_while_they_may(rule: str, kept: int) -> None:
    plan, of_old = _plan(EMAILS, rule), _contact("hello", NOW - 1)
    if kept == LIFETIME:
        assert _kept(plan, of_old, NOW + 10_000 * DAY)
    else:
        assert not kept or _kept(plan, of_old, of_old.at + kept - 1)
        assert not _kept(plan, of_old, of_old.at + kept)
    two = customer_of(contacts=[of_old, replace(of_old, at=NOW)])
    left = with_contacts(two, (), 0, partial(lasting, plan, NOW)).contacts
    assert [contact.at for contact in left] == [NOW] * (kept > 0)


def test_the_last_with_each_response_that_rules_ask_for_is_kept() -> None:
    plan = _plan(EMAILS, 'responded("hello", "click") && !contacted("news", duration("1h"))')
    assert plan.asking == {"hello": Asked(LIFETIME, frozenset({"click"})), "news": Asked(HOUR, frozenset())}
    customer = customer_of(contacts=[_contact(action, NOW + n) for n, action in enumerate(["hello"] * 5 + ["news"])])
    came = {0: "click", 1: "click", 2: "dismiss", 5: "click"}
    log = [
        replace(each, responses=(Response(came[n], each.at, each.at),)) if n in came else each
        for n, each in enumerate(customer.log)
    ]
    customer = with_contacts(replace(customer, log=tuple(log)), (), 0, partial(lasting, plan, NOW + 2 * HOUR))
    assert [contact.at - NOW for contact in customer.contacts] == [1, 4]


def test_of_the_last_contact_the_time_decides_and_not_when_it_was_granted() -> None:
    """One that was held until quiet hours were over may be later than what was granted after it."""
    plan = _plan(EMAILS, 'since_contact("hello") > duration("1h")')
    customer = customer_of(contacts=[_contact("hello", NOW + HOUR, "email"), _contact("hello", NOW)])
    later = with_contacts(customer, (), 0, partial(lasting, plan, NOW + 2 * HOUR))
    assert [contact.at for contact in later.contacts] == [NOW + HOUR]


def test_very_many_are_swept_when_there_are_a_64th_more() -> None:
    plan = _plan(EMAILS)
    customer, lengths = customer_of(contacts=[_contact("hello", NOW)] * 8000), []
    for now in range(NOW, NOW + 64):
        customer = with_lasting(plan, customer, (_contact("hello", now),), NOW + HOUR)
        lengths.append(len(customer.log))
    assert lengths == [*range(8001, 8064), KEPT_ANYWAY + 1]
