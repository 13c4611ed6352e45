"""Answer and record: what is kept is what was sent, byte for byte, with all that explains it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.plan import Plan
from decision.answer import answer_body, contacts_of, outbox_entries
from decision.decide import Decision, decide
from decision.reasons import Degradation
from decision.record import RECORD_VERSION, Outcome, Record, RecordError, answer_in, read_record, record_body
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Consent, Contact, Customer, moment
from features.encoding import encode
from tests.customers import SOME_DECISION, customer_of
from tests.decision.plans import plan_of

NOW = 1_760_000_000_000_001
HOUR = 3_600_000_000
ID = "0" * 32
CATALOG = """
customer: {name: string, email: string, spend: double, since: timestamp}
context: {page: string}
purposes: [marketing]
channels:
  web: {direction: inbound, placements: [top]}
  email: {direction: outbound, purpose: marketing, address: customer.email}
actions:
  a:
    group: g
    value: 2.5
    treatments: {web: {t: "{{ customer.name }} {{ customer.spend }} {{ context.page }}", n: 3, x: 0.1, y: true}}
  b: {value: 1, treatments: {email: {t: "{{ customer.name }}"}}}
contact_policies: {p: {limit: 2, rolling: 1d, scope: {channel: email}}}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


def decided(plan: Plan, customer: Customer, **fields: Any) -> tuple[NextActionRequest, Decision]:
    request = NextActionRequest("c-1", channels=["web", "email"], placements=["top"], **fields)
    return request, decide(plan, resolve(request, plan), view_of(plan, customer), NOW, 2**64 - 1)


texts = st.text(st.characters(exclude_categories=["Cs"]))
customers = st.builds(
    lambda name, spend, since: Customer(
        {"name": name, "email": "a@example.com", "spend": spend, "since": since}, {"marketing": Consent(True, 5)}
    ),
    texts,
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**15), 10**15).map(moment),
)


@settings(deadline=None)
@given(customers, texts)
def test_the_record_holds_the_answer_byte_for_byte(plan: Plan, customer: Customer, page: str) -> None:
    request, decision = decided(plan, customer, context={"page": page})
    answer = answer_body(plan, "c-1", decision, ID, ())
    assert answer_in(record_body(plan, request, encode(customer), decision, ID, answer)) == answer


def test_an_answer_in_full(plan: Plan) -> None:
    customer = Customer({"name": "Ana", "email": "a@example.com", "spend": 2.0}, {"marketing": Consent(True, 5)})
    _, decision = decided(plan, customer, context={"page": "home"})
    assert json.loads(answer_body(plan, "c-1", decision, ID, ())) == {
        "decision_id": ID,
        "customer_id": "c-1",
        "status": "decided",
        "reason": "ranked",
        "actions": [
            {
                "action": "a",
                "treatment": "a/web",
                "channel": "web",
                "placement": "top",
                "content": {"t": "Ana 2.0 home", "n": 3, "x": 0.1, "y": True},
                "propensity": 1.0,
                "value": 2.5,
                "priority": 2.5,
                "probability": 1.0,
                "fallback": False,
            },
            {
                "action": "b",
                "treatment": "b/email",
                "channel": "email",
                "placement": None,
                "content": {"t": "Ana"},
                "propensity": 1.0,
                "value": 1.0,
                "priority": 1.0,
                "probability": 1.0,
                "fallback": False,
            },
        ],
        "valid_until": "2025-10-09T09:23:20.000001Z",
        "degraded": [],
        "catalog": plan.digest,
    }


def test_a_record_holds_what_the_decision_was_made_on(plan: Plan) -> None:
    customer = customer_of(
        {"name": "Ana", "email": "a@example.com", "undeclared": 1},
        {"marketing": Consent(True, 5, "form")},
        (Contact(NOW - 1, "b", "email", "", "outbound", SOME_DECISION),),
        test=True,
    )
    request, decision = decided(plan, customer, context={"page": "home"}, request_id="r-1")
    answer = answer_body(plan, "c-1", decision, ID, ())
    record = read_record(record_body(plan, request, encode(customer), decision, ID, answer))
    assert json.loads(record.request) == {
        "customer_id": "c-1",
        "channels": ["web", "email"],
        "placements": ["top"],
        "context": {"page": "home"},
        "limit": 1,
        "request_id": "r-1",
        "dry_run": False,
    }
    assert record == Record(
        RECORD_VERSION,
        ID,
        "c-1",
        NOW,
        plan.digest,
        2**64 - 1,
        record.request,
        encode(customer),
        answer,
        Outcome({"content": 1}, {"p": 1}),
    )


@pytest.mark.parametrize("body", [b"", b"{}", b"\x90", b"\x9c\x03" + bytes(11)])
def test_what_is_no_record_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError, match="no record"):
        read_record(body)


def test_a_record_of_another_format_is_refused(plan: Plan) -> None:
    request, decision = decided(plan, Customer(), context={"page": "home"})
    body = record_body(plan, request, b"", decision, ID, b"{}")
    with pytest.raises(RecordError, match=f"format {RECORD_VERSION + 1}"):
        read_record(body[:1] + bytes([RECORD_VERSION + 1]) + body[2:])


def test_contacts_and_messages_are_of_what_was_granted(plan: Plan) -> None:
    customer = Customer({"name": "Ana", "email": "a@example.com", "spend": 2.0}, {"marketing": Consent(True, 5)})
    _, decision = decided(plan, customer, context={"page": "home"})
    assert contacts_of(decision, ID) == (
        Contact(NOW, "a", "web", "g", "inbound", ID, valid_for=1800 * 1_000_000),
        Contact(NOW, "b", "email", "", "outbound", ID, purpose="marketing"),
    )
    (message,) = map(json.loads, outbox_entries(plan, decision, ID, "c-1"))
    message.pop("valid_until")
    assert message == {
        "decision_id": ID,
        "customer_id": "c-1",
        "at": NOW,
        "not_before": None,
        "treatment": "b/email",
        "action": "b",
        "channel": "email",
        "purpose": "marketing",
        "address": "a@example.com",
        "content": {"t": "Ana"},
        "catalog": plan.digest,
    }


def test_a_message_stands_as_long_as_its_own_treatment() -> None:
    """And not as long as the answer, which its shortest pick ends."""
    plan = plan_of("""
customer: {email: string}
purposes: [marketing]
channels:
  web: {direction: inbound, placements: [top]}
  email: {direction: outbound, purpose: marketing, address: customer.email}
actions:
  a: {value: 9, treatments: {web: {t: x, valid_for: 5m}}}
  b: {value: 2, treatments: {email: {t: x, valid_for: 2h}}}
  c: {value: 1, treatments: {email: {t: x}}}
""")
    customer = Customer({"email": "a@example.com"}, {"marketing": Consent(True, 5)})
    for channels, limit, expected in (
        (["web", "email"], 3, {"b/email": NOW + 2 * HOUR, "c/email": None}),
        (["email"], 1, {"b/email": NOW + 2 * HOUR}),
    ):
        ask = resolve(NextActionRequest("c-1", channels=channels, limit=limit), plan)
        decision = decide(plan, ask, view_of(plan, customer), NOW, 0)
        messages = map(json.loads, outbox_entries(plan, decision, ID, "c-1"))
        assert {message["treatment"]: message["valid_until"] for message in messages} == expected


def test_a_degraded_answer_says_so_and_has_no_id(plan: Plan) -> None:
    _, decision = decided(plan, Customer())
    body = json.loads(answer_body(plan, "c-1", decision, None, (Degradation.STORE_FULL,)))
    assert (body["decision_id"], body["degraded"], body["actions"]) == (None, ["store_full"], [])
    assert body["valid_until"] is None
