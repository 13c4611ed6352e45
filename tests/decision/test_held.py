"""What quiet hours hold, on a real Redis: in the answer, the customer's state, the outbox and the record."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from decision.answer import contacts_of
from decision.decide import decide
from decision.engine import Engine
from decision.release import Outgoing, put_off
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.consents import with_consent
from features.customer import Consent, Customer, micros, moment, with_attributes, with_contacts
from features.deadline import Deadline
from features.encoding import decode, encode
from features.opening import open_store
from features.store import CustomerStore
from tests.customers import SOME_DECISION
from tests.decision.plans import LOADED, plan_of
from tests.engines import AtOnce, ByTask
from tests.replayed import all_made_again

pytestmark = pytest.mark.anyio

PATIENT = 30.0
CATALOG = """
timezone: Europe/Berlin
customer: {email: string}
purposes: [service]
channels:
  web: {direction: inbound}
  email: {direction: outbound, purpose: service, address: customer.email, quiet_hours: {from: 21:00, to: 08:00}}
actions:
  news: {value: 9, treatments: {email: {t: News}}}
  receipt: {value: 8, obeys_quiet_hours: false, treatments: {email: {t: Thanks}}}
  hello: {value: 1, treatments: {web: {t: Hello}}}
contact_policies: {daily: {limit: 2, calendar: day, scope: {channel: [email, web]}}}
"""
COUNTED = """
timezone: Europe/Berlin
customer: {email: string}
purposes: [service]
channels:
  email: {direction: outbound, purpose: service, address: customer.email, quiet_hours: {from: 21:00, to: 08:00}}
actions: {news: {group: g, value: 9, treatments: {email: {valid_for: 15h, t: News}}}}
contact_policies: {daily: {limit: 400, rolling: 1d, counts: delivery, scope: {channel: email}}}
"""
HOUR, MINUTE = 3_600_000_000, 60_000_000
OVER = micros(datetime.fromisoformat("2026-03-29T06:00Z"))  # eight in Berlin, after a night of an hour less


@pytest.fixture
async def evening(redis_url: str, tmp_path: Path) -> AsyncIterator[CustomerStore]:
    """A store whose clock stands at eleven in the evening, in Berlin."""
    store = await open_store(redis_url)
    await store.ledger.link.ask("FLUSHALL", within=5)
    await store.ledger.link.close()
    store = await open_store(redis_url, now="2026-03-28T22:00Z")
    yield store
    await store.ledger.link.close()
    await all_made_again(redis_url, tmp_path, LOADED.values())


@pytest.mark.parametrize("way", [ByTask, AtOnce])
async def test_what_is_held_says_until_when_everywhere(evening: CustomerStore, way: type[Engine]) -> None:
    def known(customer: Customer, now: int) -> Customer:
        return with_consent(with_attributes(customer, {"email": "a@example.com"}), "service", Consent(True, now))

    await evening.update("c-1", known, Deadline(PATIENT))
    engine = way(evening, plan_of(CATALOG))
    body = await asked(engine, limit=2)
    assert [(each["treatment"], each.get("not_before")) for each in body["actions"]] == [
        ("news/email", "2026-03-29T06:00:00Z"),
        ("receipt/email", None),
    ]
    snapshot = await evening.snapshot("c-1", Deadline(PATIENT), fresh=True)
    assert [(c.action, c.at == OVER) for c in snapshot.customer.contacts] == [("news", True), ("receipt", False)]
    stream = evening.ledger.layout.outbox(evening.ledger.layout.partition("c-1"))
    entries = [
        json.loads(fields[1]) for _, fields in await evening.ledger.link.ask("XRANGE", stream, "-", "+", within=5)
    ]
    assert [(entry["action"], entry["not_before"]) for entry in entries] == [("news", OVER), ("receipt", None)]
    assert {moment(entry["at"]).hour for entry in entries} == {22}
    again = await asked(engine, limit=2)  # both count, though one is to come
    assert (again["actions"], again["reason"]) == ([], "contact_policy")


def test_what_is_held_ends_with_its_answer_however_often_it_is_put_off() -> None:
    plan = plan_of(CATALOG.replace("{email: {t: News}}", "{email: {valid_for: 15h, t: News}}"))
    customer = Customer({"email": "a@example.com"}, {"service": Consent(True, 1)})
    now = OVER - 9 * 3_600_000_000
    decision = decide(
        plan, resolve(NextActionRequest("c-1", channels=["email"]), plan), view_of(plan, customer), now, 0
    )
    ends = now + 15 * 3_600_000_000
    assert decision.valid_until == ends
    customer = with_contacts(customer, contacts_of(decision, SOME_DECISION))
    message = Outgoing(SOME_DECISION, "news/email", "service", "a@example.com", ends)
    for until in (OVER, OVER + 3_600_000_000, OVER + 2 * 3_600_000_000):
        customer = put_off(customer, message, until)
        (contact,) = customer.contacts
        assert (contact.at, contact.at + contact.valid_for) == (until, ends)


def test_contacts_that_are_held_have_their_labels_once() -> None:
    """Each ends with its own answer all the same."""
    plan = plan_of(COUNTED)
    customer = Customer({"email": "a@example.com"}, {"service": Consent(True, 1)})
    request = resolve(NextActionRequest("c-1", channels=["email"]), plan)
    ends = []
    for minutes in range(300):
        now = OVER - 9 * HOUR + minutes * MINUTE + minutes
        decision = decide(plan, request, view_of(plan, customer), now, 0)
        ends.append(now + 15 * HOUR)
        customer = with_contacts(customer, contacts_of(decision, f"{minutes:032x}"))
    assert {contact.at for contact in customer.contacts} == {OVER}
    assert [contact.at + contact.valid_for for contact in customer.contacts] == ends
    assert len(customer.labels) == 1
    assert view_of(plan, customer).holds == {0: ends}
    again = decode(encode(customer))
    assert again == customer
    message = Outgoing(f"{7:032x}", "news/email", "service", "a@example.com", ends[7])
    later = put_off(customer, message, OVER + HOUR)
    assert later.labels is customer.labels
    assert view_of(plan, later).holds == {0: ends}


def test_a_state_from_before_has_what_was_held_in_its_labels() -> None:
    plan = plan_of(COUNTED)
    labels = ["news", "email", "g", "outbound", [], 6 * HOUR, True, "service"]  # 15 h, but for the 9 that it is held
    log = [OVER, 0, bytes.fromhex(SOME_DECISION), []]
    customer = decode(msgspec.msgpack.encode([{}, {}, False, 0, [labels], [log]]))
    (contact,) = customer.contacts
    assert (contact.at, contact.valid_for, contact.held) == (OVER, 6 * HOUR, 0)
    assert view_of(plan, customer).holds == {0: [OVER + 6 * HOUR]}
    message = Outgoing(SOME_DECISION, "news/email", "service", "a@example.com", OVER + 6 * HOUR)
    later = put_off(customer, message, OVER + HOUR)
    assert [each.at for each in later.log] == [OVER + HOUR]
    assert view_of(plan, later).holds == {0: [OVER + 6 * HOUR]}


async def asked(engine: Engine, limit: int) -> dict[str, Any]:
    answer = await engine.next_action(NextActionRequest("c-1", channels=["email"], limit=limit), "key", PATIENT)
    body: dict[str, Any] = json.loads(answer.body)
    return body
