"""What held everything back, and until when: against deciding again, right before that moment and at it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catalog.plan import Plan
from decision.decide import Decision, decide
from decision.reasons import Gate
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Consent, Contact, Customer, Response, with_contacts
from tests.customers import SOME_DECISION
from tests.decision.plans import plan_of

HOUR = 3_600_000_000
DAY = 24 * HOUR
NOW = 1_792_900_000_000_000  # a week before New York's clocks are put back
YEARS = 20 * 365 * DAY
ACTIONS = """
timezone: America/New_York
customer: {timezone: string, contract: string, most: int}
channels: {web: {direction: inbound}}
actions:
  a: {group: g, value: 2, treatments: {web: {t: x, valid_for: 36h}}}
  b: {value: 1, treatments: {web: {t: x}}}
"""

windows = st.sampled_from(
    [
        {"rolling": "5h"}, {"rolling": "3d"}, {"calendar": "day"}, {"calendar": "week", "timezone": "customer"},
        {"calendar": "month"}, {"calendar": "hour", "timezone": "Asia/Kolkata"}, {"lifetime": True},
    ]
)  # fmt: skip
caps = st.builds(
    lambda limit, window, counts: {"limit": limit, **window, **counts},
    st.integers(0, 2),
    windows,
    st.sampled_from([{}, {"counts": "decision"}, {"customer_limit": "customer.most"}]),
)
pauses = st.builds(
    lambda times, pause: {"after": {"outcome": "dismiss", "times": times, "rolling": "2d"}, "pause": pause},
    st.integers(1, 2),
    st.sampled_from(["1h", "10d"]),
)
scopes = st.sampled_from(
    [
        {},
        {"scope": {"action": ["a"]}},
        {"per": ["action"]},
        {"per": ["customer.contract"]},
        {"per": ["customer.contract", "action"]},
    ]
)
policies = st.lists(st.builds(lambda cap, scope: {**cap, **scope}, caps | pauses, scopes), min_size=1, max_size=4)
kinds = st.tuples(st.sampled_from(["impression", "dismiss"]), st.integers(0, 48 * HOUR))
responses = st.lists(kinds, max_size=2, unique_by=lambda response: response[0])
contacts = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(-HOUR, 5 * DAY), st.sampled_from(["k", "l", ""]), responses),
    max_size=6,
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "timezone": st.sampled_from(["Asia/Tokyo", "Nowhere/Else"]),
        "contract": st.sampled_from(["k", "l"]),
        "most": st.integers(-1, 2),
    },
)


def customer_with(made: list[tuple[str, int, str, list[tuple[str, int]]]], known: dict[str, Any]) -> Customer:
    log = []
    for action, ago, contract, came in sorted(made, key=lambda each: -each[1]):
        at = NOW - ago
        answers = tuple(Response(kind, min(at + after, NOW), min(at + after, NOW)) for kind, after in sorted(came))
        labels = (action, "web", "g" if action == "a" else "", "inbound")
        valid = 36 * HOUR if action == "a" else HOUR // 2
        keys = (("customer.contract", contract),) if contract else ()  # made before a policy asked for it
        log.append(Contact(at, *labels, SOME_DECISION, keys, answers, valid_for=valid))
    customer = with_contacts(Customer(known), tuple(log))
    spelled = tuple(each.responses for each in log)
    kept = tuple(_with(logged, came) for logged, came in zip(customer.log, spelled, strict=True))
    return Customer(known, labels=customer.labels, log=kept)


def _with(logged: Any, came: tuple[Response, ...]) -> Any:
    return replace(logged, responses=came)


def decided(plan: Plan, customer: Customer, now: int = NOW, **request: Any) -> Decision:
    ask = resolve(NextActionRequest("c", **request), plan)
    return decide(plan, ask, view_of(plan, customer), now, seed=1)


@settings(deadline=None, max_examples=150)
@given(policies, contacts, attributes)
def test_it_is_the_first_moment_at_which_policies_let_anything_pass(
    declared: list[dict[str, Any]], made: list[tuple[str, int, str, list[tuple[str, int]]]], known: dict[str, Any]
) -> None:
    plan = plan_of(f"{ACTIONS}contact_policies: {json.dumps({f'p{n}': each for n, each in enumerate(declared)})}\n")
    customer = customer_with(made, known)
    told = decided(plan, customer).held_back
    if told is None:
        assert decided(plan, customer).granted
        return
    assert told.gate is Gate.CONTACT_POLICY
    assert told.by
    if told.eligible_at is None:
        assert not decided(plan, customer, NOW + YEARS).granted
        return
    assert told.eligible_at > NOW
    assert decided(plan, customer, told.eligible_at).granted
    before = decided(plan, customer, told.eligible_at - 1)
    assert not before.granted
    assert before.held_back == told  # no other policy than those that hold to the end
    for part in (3, 2):
        assert not decided(plan, customer, NOW + (told.eligible_at - NOW) // part - 1).granted


def test_the_policies_named_are_those_that_hold_longest() -> None:
    plan = plan_of(
        ACTIONS + "contact_policies:\n  hourly: {limit: 1, rolling: 1h}\n  daily: {limit: 1, rolling: 1d}\n"
        "  weekly: {limit: 9, rolling: 7d}\n"
    )
    told = decided(plan, customer_with([("a", HOUR // 2, "k", [("impression", 0)])], {})).held_back
    assert told == (Gate.CONTACT_POLICY, ("daily",), NOW - HOUR // 2 + DAY)


QUIET = """
timezone: UTC
customer: {email: string, timezone: string}
purposes: [service]
channels:
  email: {direction: outbound, purpose: service, address: customer.email,
          quiet_hours: {from: "21:00", to: "08:00", mode: drop}}
  push: {direction: outbound, purpose: service, address: customer.email,
         quiet_hours: {from: "20:00", to: "09:00", mode: drop}}
actions: {a: {value: 1, treatments: {email: {t: x}, push: {t: x}}}}
"""
AT_TEN = int(datetime(2026, 5, 1, 22, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("zone", "channels", "hours"),
    [
        ("UTC", ["email", "push"], 10),
        ("UTC", ["push"], 11),
        ("Asia/Kolkata", ["email"], 4.5),
        ("Nowhere", ["email"], None),
    ],
)
def test_quiet_hours_end(zone: str, channels: list[str], hours: float | None) -> None:
    plan, consents = plan_of(QUIET), {"service": Consent(True, 1)}
    customer = Customer({"email": "a@example.com", "timezone": zone}, consents)
    told = decided(plan, customer, AT_TEN, channels=channels).held_back
    at = None if hours is None else AT_TEN + int(hours * HOUR)
    assert told == (Gate.QUIET_HOURS, (), at)
    if at is not None:
        assert decided(plan, customer, at, channels=channels).granted
        assert not decided(plan, customer, at - 1, channels=channels).granted


def test_dates_begin() -> None:
    plan = plan_of(
        "channels: {web: {direction: inbound}, app: {direction: inbound}}\nactions:\n"
        "  soon: {from: 2026-11-05, until: 2026-11-06, value: 1, treatments: {web: {t: x}}}\n"
        "  later: {from: 2026-12-01, value: 1, treatments: {web: {t: x}, app: {t: x}}}\n"
        "  over: {until: 2020-01-01, value: 1, treatments: {app: {t: x}}}\n"
    )
    now = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 1_000_000
    for channels, days in ((["web"], 4), (["app"], 30), (["web", "app"], 4)):
        told = decided(plan, Customer(), now, channels=channels).held_back
        assert told == (Gate.DATES, (), now + days * DAY)
    after = now + timedelta(days=4) // timedelta(microseconds=1)
    assert decided(plan, Customer(), after, channels=["web"]).held_back is None


def test_a_budget_is_renewed() -> None:
    plan = plan_of(
        "channels: {web: {direction: inbound}}\nactions: {a: {value: 1, treatments: {web: {t: x}}}}\n"
        "budgets:\n  daily: {limit: 5, calendar: day, timezone: UTC}\n  once: {limit: 5, lifetime: true}\n"
        "  never: {limit: 0, calendar: day, timezone: UTC}\n"
    )
    ask = resolve(NextActionRequest("c"), plan)
    view = view_of(plan, Customer())
    midnight = (NOW // DAY + 1) * DAY
    for left, by, at in (
        ({"daily": 0}, ("daily",), midnight),
        ({"once": 0}, ("once",), None),
        ({"daily": 0, "once": 1}, ("daily",), midnight),
        ({"daily": 0, "once": 0}, ("daily", "once"), None),
        ({"daily": 0, "never": 0}, ("daily", "never"), None),
    ):
        told = decide(plan, ask, view, NOW, 1, budgets=left).held_back
        assert told == (Gate.BUDGET, by, at)


def test_a_gate_that_waits_for_no_time() -> None:
    plan = plan_of(
        "customer: {tier: string}\nchannels: {web: {direction: inbound}}\n"
        'actions: {a: {eligible: customer.tier == "gold", value: 1, treatments: {web: {t: x}}}}\n'
    )
    assert decided(plan, Customer()).held_back == (Gate.ELIGIBLE, (), None)
    assert decided(plan, Customer({"tier": "gold"})).held_back is None
