"""Deciding as a function: the same again, no more than asked for, and what fallbacks and time limits come to."""

from dataclasses import replace
from functools import reduce
from operator import or_

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.plan import Plan
from decision.decide import decide, fallback_only
from decision.reasons import Reason, Status
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Consent, Contact, Customer
from tests.customers import SOME_DECISION, customer_of
from tests.decision.cases import as_data
from tests.decision.plans import plan_of

NOW = 1_760_000_000_000_000
HOUR = 3_600_000_000
CATALOG = """
customer: {email: string, name: string, visits: int}
purposes: [marketing, service]
channels:
  web: {direction: inbound, placements: [top, feed]}
  email: {direction: outbound, purpose: marketing, address: customer.email}
actions:
  a: {group: g, value: 5, eligible: customer.visits > 1, treatments: {web: {t: x}, email: {t: x, valid_for: 2h}}}
  b: {group: g, value: 4, purpose: marketing, treatments: {web: {t: "Hi {{ customer.name }}"}, email: {t: x}}}
  c: {value: 3, purpose: service, treatments: {web: {placements: [feed], valid_for: 5m, t: x}, email: {t: x}}}
  d: {value: 2, treatments: {web: {t: "Hi {{ customer.name | default('you') }}"}}}
  e: {value: 1, treatments: {web: {placements: [feed], t: "{{ customer.name }}"}}}
contact_policies:
  g: {limit: 2, rolling: 1d, scope: {group: g}}
  outbound: {limit: 1, rolling: 7d, scope: {direction: outbound}}
exploration: {rate: 0.4}
control_group: {share: 0.3}
fallback: {top: d, feed: d}
"""
UNLIMITED = """
customer: {email: string}
purposes: [marketing]
channels: {email: {direction: outbound, purpose: marketing, address: customer.email}}
actions: {a: {value: 1, treatments: {email: {t: x}}}}
"""
KNOWN = Customer(
    {"email": "ana@example.com", "name": "Ana", "visits": 3},
    {"marketing": Consent(True, 0), "service": Consent(True, 0)},
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(CATALOG)


@pytest.fixture(scope="module")
def twin() -> Plan:
    """The same catalog, loaded by itself."""
    return plan_of(CATALOG)


customers = st.builds(
    customer_of,
    st.fixed_dictionaries(
        {}, optional={"email": st.sampled_from(["", "a@example.com"]), "name": st.text(), "visits": st.integers(0, 3)}
    ),
    st.dictionaries(st.sampled_from(["marketing", "service"]), st.builds(Consent, st.booleans(), st.just(0))),
    st.lists(
        st.builds(
            lambda age, action: Contact(
                NOW - age, action, "web", "g" if action in "ab" else "", "inbound", SOME_DECISION
            ),
            st.integers(0, 30 * HOUR),
            st.sampled_from("abcd"),
        ),
        max_size=4,
    ).map(tuple),
)
requests = st.builds(
    NextActionRequest,
    st.text(min_size=1, max_size=5),
    channels=st.sampled_from([["web"], ["email"], ["web", "email"]]),
    limit=st.integers(1, 4),
) | st.builds(
    NextActionRequest,
    st.text(min_size=1, max_size=5),
    channels=st.sampled_from([["web"], ["web", "email"]]),
    placements=st.sampled_from([["top"], ["feed", "top"], ["top", "feed"]]),
)


@settings(max_examples=200, deadline=None)
@given(requests, customers, st.integers(0, 2**64 - 1))
def test_a_decision_follows_from_its_arguments_and_keeps_what_an_answer_promises(
    plan: Plan, twin: Plan, request: NextActionRequest, customer: Customer, seed: int
) -> None:
    ask = resolve(request, plan)
    view = view_of(plan, customer)
    wanted = reduce(or_, (slot.mask for slot in ask.shape.slots))
    decision = decide(plan, ask, view, NOW, seed)
    assert decide(plan, ask, view_of(plan, customer), NOW, seed) == decision
    assert as_data(twin, decide(twin, resolve(request, twin), view_of(twin, customer), NOW, seed)) == as_data(
        plan, decision
    )
    assert view == view_of(plan, customer)  # nothing in it has changed
    for picks in (decision.picks, decision.withheld):
        actions = [pick.treatment.action for pick in picks]
        assert len(actions) == len(set(actions))
        for slot in ask.shape.slots:
            assert sum(pick.placement == slot.placement for pick in picks) <= slot.limit
        for pick in picks:
            assert wanted >> pick.treatment.bit & 1
            assert pick.placement is None or pick.placement in pick.treatment.placements
            purpose = pick.treatment.purpose
            assert purpose is None or customer.consents[purpose].granted
            assert (pick.address is not None) == (pick.treatment.direction == "outbound")
            assert pick.chosen is None or 0 < pick.chosen.probability <= 1
    statuses = {
        Status.DECIDED: bool(decision.granted),
        Status.CONTROL: bool(decision.withheld) and not decision.granted,
        Status.FALLBACK: bool(decision.picks) and not decision.granted,
        Status.NOTHING: not decision.picks,
    }
    assert statuses[decision.status]
    assert sum(decision.removed.values()) <= wanted.bit_count()


def test_an_answer_stands_as_long_as_its_shortest_pick(plan: Plan) -> None:
    def until(*placements: str, channels: list[str]) -> int | None:
        request = NextActionRequest("c-2", channels=channels, placements=list(placements))
        without_chance = replace(plan, exploration_rate=0.0, control=None)
        return decide(without_chance, resolve(request, plan), view_of(plan, KNOWN), NOW, 0).valid_until

    assert until("top", channels=["web"]) == NOW + HOUR // 2  # the default, inbound
    assert until("top", "feed", channels=["web"]) == NOW + HOUR // 2
    assert until(channels=["email"]) == NOW + 2 * HOUR
    unlimited = plan_of(UNLIMITED)
    ask = resolve(NextActionRequest("c", channels=["email"]), unlimited)
    decision = decide(unlimited, ask, view_of(unlimited, KNOWN), NOW, 0)
    assert (len(decision.picks), decision.valid_until) == (1, None)


def test_without_the_customer_fallbacks_alone_are_left(plan: Plan) -> None:
    ask = resolve(NextActionRequest("c", channels=["web", "email"], placements=["top", "feed"]), plan)
    decision = fallback_only(plan, ask, NOW)
    assert (decision.status, decision.reason) == (Status.FALLBACK, Reason.DEGRADED)
    assert [(pick.treatment.id, pick.placement, pick.content) for pick in decision.picks] == [
        ("d/web", "top", {"t": "Hi you"})
    ]
    assert decision.granted == ()
    nothing = fallback_only(plan, resolve(NextActionRequest("c"), plan), NOW)
    assert (nothing.status, nothing.reason, nothing.picks) == (Status.NOTHING, Reason.DEGRADED, ())


def test_a_fallback_keeps_to_the_channels_asked_for() -> None:
    """Also where another of the placement's channels is asked for."""
    two = CATALOG.replace("email: {direction", "kiosk: {direction: inbound, placements: [top]}\n  email: {direction")
    both = plan_of(two)
    for channels, shown in ((["kiosk"], 0), (["kiosk", "web"], 1)):
        ask = resolve(NextActionRequest("c", channels=channels, placements=["top"]), both)
        assert len(fallback_only(both, ask, NOW).picks) == shown


def test_a_fallback_that_needs_more_than_is_known_is_not_shown() -> None:
    plan = plan_of("""
customer: {name: string}
channels: {web: {direction: inbound, placements: [top]}}
actions: {a: {eligible: "false", value: 1, treatments: {web: {t: "{{ customer.name }}"}}}}
fallback: {top: a}
""")
    ask = resolve(NextActionRequest("c", placements=["top"]), plan)
    assert fallback_only(plan, ask, NOW).status is Status.NOTHING
    known = decide(plan, ask, view_of(plan, Customer({"name": "Ana"})), NOW, 0)
    assert [pick.content for pick in known.picks] == [{"t": "Ana"}]
    assert known.status is Status.FALLBACK
