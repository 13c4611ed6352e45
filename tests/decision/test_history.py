"""What rules may ask about contacts: by the definition, over time, and never from what was true before."""

from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catalog.plan import Plan
from decision.decide import decide
from decision.lasting import lasting
from decision.request import NextActionRequest, resolve
from decision.view import View, view_of
from features.customer import Contact, Customer, Logged, Response, moment, with_contacts
from tests.customers import SOME_DECISION, customer_of
from tests.decision.plans import plan_of

SECOND = 1_000_000
NOW = 1_760_000_000 * SECOND
ACTIONS = ["a", "b"]
SPANS = [1, 2, 3]
KINDS = ["click", "dismiss"]
# Each twice, so that tables are made of them, and each in both signs.
RULES = {
    **{f'contacted("{a}", duration("{s}s"))': ("contacted", a, s) for a in ACTIONS for s in SPANS},
    **{f'responded("{a}", "{kind}")': ("responded", a, kind) for a in ACTIONS for kind in KINDS},
    **{f'since_contact("{a}") > duration("{s}s")': ("since", a, s) for a in ACTIONS for s in SPANS},
}
ASKED = {f"{name}-{number}": rule for number, rule in enumerate(RULES) for name in ("is", "also", "not", "nor")}


def _rule(name: str, rule: str) -> str:
    return rule if name.startswith(("is", "also")) else f"!({rule})"


def _catalog(rules: dict[str, str]) -> str:
    actions = "".join(
        f"  {name}: {{eligible: '{_rule(name, rule)}', value: 1, treatments: {{web: {{t: x}}}}}}\n"
        for name, rule in rules.items()
    )
    a_and_b = "  a: {value: 9, treatments: {web: {t: x}}}\n  b: {value: 9, treatments: {web: {t: x}}}\n"
    return f"channels: {{web: {{direction: inbound}}}}\nactions:\n{a_and_b}{actions}"


PLAN = plan_of(_catalog(ASKED))


def _chosen(plan: Plan, view: View, now: int) -> set[str]:
    decision = decide(plan, resolve(NextActionRequest("c", limit=100), plan), view, now, 0)
    return {pick.treatment.action for pick in decision.picks}


def _holds(asked: tuple[Any, ...], customer: Customer, now: int) -> bool | None:
    """None where there is no answer."""
    what, action, wanted = asked
    contacts = [contact for contact in customer.contacts if contact.action == action]
    if what == "contacted":
        return any(contact.at > now - wanted * SECOND for contact in contacts)
    if what == "responded":
        return any(response.kind == wanted for contact in contacts for response in contact.responses)
    return max(0, now - max(contact.at for contact in contacts)) > wanted * SECOND if contacts else None


def _expected(customer: Customer, now: int) -> set[str]:
    found = {"a", "b"}
    for name, rule in ASKED.items():
        holds = _holds(RULES[rule], customer, now)
        if holds is not None and holds is name.startswith(("is", "also")):
            found.add(name)
    return found


def _contact(action: str, at: int) -> Contact:
    return Contact(at, action, "web", "", "inbound", SOME_DECISION)


def _answered(contact: Logged, kind: str) -> Logged:
    kinds = {response.kind for response in contact.responses} | {kind}
    return replace(contact, responses=tuple(Response(each, contact.at, contact.at) for each in sorted(kinds)))


def _last_answered(customer: Customer, kind: str) -> Customer:
    return replace(customer, log=(*customer.log[:-1], _answered(customer.log[-1], kind)))


steps = st.lists(
    st.tuples(
        st.builds(lambda seconds, micros: max(0, seconds * SECOND + micros), st.integers(0, 4), st.integers(-1, 1)),
        st.sampled_from([None, "a", "b", "x"]),
        st.sampled_from([None, *KINDS]),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_rules_hold_as_the_contacts_so_far_say(steps: list[tuple[int, str | None, str | None]]) -> None:
    """With one view after the other, each made from the one before, as in the service; and though nothing is kept but
    what rules may still ask about.
    """
    customer, everything, now = Customer(), Customer(), NOW
    view = view_of(PLAN, customer)
    for step, action, kind in steps:
        now += step
        if action is not None:
            everything = with_contacts(everything, (_contact(action, now),))
            customer = with_contacts(customer, (_contact(action, now),), 0, partial(lasting, PLAN, now))
        if kind is not None and customer.log:
            everything, customer = _last_answered(everything, kind), _last_answered(customer, kind)
        view = view_of(PLAN, customer, view)
        assert view == view_of(PLAN, customer)
        for later in (now, now + SECOND, now + 2 * SECOND - 1):
            assert _chosen(PLAN, view, later) == _expected(everything, later)


def test_contacts_are_kept_as_long_as_rules_ask_about_them() -> None:
    week = _catalog({"is-1": 'contacted("a", duration("168h")) && contacted("b", duration("1h"))'})
    policies = "contact_policies: {p: {limit: 1, rolling: 3d, scope: {channel: web}}}\n"
    hour = 3600 * SECOND
    assert plan_of(week + policies).history == 168 * hour
    assert plan_of(week.replace("168h", "1h") + policies).history == 24 * hour + hour // 2  # for late impressions
    assert plan_of(_catalog({"is-1": 'responded("a", "click")'})).history == 0


def test_nothing_is_gathered_where_no_rule_asks() -> None:
    plan = plan_of(_catalog({}))
    assert not plan.asking
    assert view_of(plan, customer_of(contacts=[_contact("a", 1)])).history == {}
    assert PLAN.asking


def test_where_contacts_are_unknown_no_rule_about_them_holds() -> None:
    frame = PLAN.frame({}, {}, moment(NOW))
    assert frame.history is None
    assert PLAN.eligible.match(frame) == 0b11  # a and b, which have no rule
