"""Allowance against an oracle that keeps every contact and counts anew, by the definition, at every step."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catalog.plan import Plan, Treatment
from decision.decide import view_of
from decision.policy import Allowance, counted_times, remaining
from features.customer import Contact, Customer
from tests.customers import SOME_DECISION, customer_of
from tests.decision.plans import plan_of

GRID = """
customer: {email: string}
purposes: [marketing]
channels:
  web: {direction: inbound}
  in_app: {direction: inbound}
  email: {direction: outbound, purpose: marketing, address: customer.email}
actions:
  a: {group: g, value: 1, treatments: {web: {t: x}, in_app: {t: x}, email: {t: x}}}
  b: {group: g, value: 1, treatments: {in_app: {t: x}, email: {t: x}}}
  c: {group: h, value: 1, treatments: {web: {t: x}}}
  d: {value: 1, treatments: {email: {t: x}}}
"""
NAMES = {
    "direction": ["inbound", "outbound"],
    "channel": ["web", "in_app", "email"],
    "group": ["g", "h"],
    "action": ["a", "b", "c", "d"],
    "treatment": ["a/web", "a/email", "b/in_app", "d/email"],
}
NOW = 1_760_000_000_000_000
SECOND = 1_000_000

scopes = st.fixed_dictionaries(
    {}, optional={label: st.lists(st.sampled_from(names), min_size=1, unique=True) for label, names in NAMES.items()}
)
policies = st.lists(
    st.fixed_dictionaries({"limit": st.integers(0, 4), "rolling": st.integers(1, 5), "scope": scopes}), max_size=4
)
# Ages around whole seconds, as the windows are of whole seconds; a few lie in the future.
ages = st.builds(lambda seconds, micros: seconds * SECOND + micros, st.integers(-1, 6), st.integers(-1, 1))
past = st.lists(
    st.tuples(
        ages, st.sampled_from("abcdx"), st.sampled_from(["web", "in_app", "email"]), st.sampled_from(["g", "h", ""])
    ),
    max_size=12,
)


def _plan(declared: list[dict[str, Any]]) -> Plan:
    written = {f"p{place}": {**policy, "rolling": f"{policy['rolling']}s"} for place, policy in enumerate(declared)}
    return plan_of(f"{GRID}contact_policies: {json.dumps(written)}\n")


def _customer(contacts: list[tuple[int, str, str, str]]) -> Customer:
    oldest_first = sorted(contacts, key=lambda contact: -contact[0])
    return customer_of(
        contacts=tuple(
            Contact(NOW - age, action, channel, group, "outbound" if channel == "email" else "inbound", SOME_DECISION)
            for age, action, channel, group in oldest_first
        )
    )


def _in_scope(scope: dict[str, list[str]], contact: Contact) -> bool:
    labels = {
        "direction": contact.direction,
        "channel": contact.channel,
        "group": contact.group,
        "action": contact.action,
        "treatment": f"{contact.action}/{contact.channel}",
    }
    return all(labels[label] in names for label, names in scope.items())


def _as_contact(treatment: Treatment) -> Contact:
    return Contact(NOW, treatment.action, treatment.channel, treatment.group, treatment.direction, SOME_DECISION)


def _blocked(declared: list[dict[str, Any]], contacts: list[Contact], treatment: Treatment) -> bool:
    for policy in declared:
        counted = [
            contact
            for contact in contacts
            if contact.at > NOW - policy["rolling"] * SECOND and _in_scope(policy["scope"], contact)
        ]
        if _in_scope(policy["scope"], _as_contact(treatment)) and len(counted) >= policy["limit"]:
            return True
    return False


@settings(max_examples=120, deadline=None)
@given(policies, past, st.lists(st.integers(0, 6), max_size=6))
def test_allowance_is_what_counting_by_the_definition_gives(
    declared: list[dict[str, Any]], contacts: list[tuple[int, str, str, str]], picks: list[int]
) -> None:
    plan, customer = _plan(declared), _customer(contacts)
    treatments = [treatment for treatment in plan.treatments if treatment is not None]
    allowance = Allowance(plan, counted_times(plan, customer.labels, customer.log), NOW)
    seen = list(customer.contacts)
    for pick in [*picks, 0]:
        blocked = allowance.blocked()
        for treatment in treatments:
            assert bool(blocked >> treatment.bit & 1) == _blocked(declared, seen, treatment), treatment.id
        chosen = treatments[pick]
        allowance.take(chosen)
        seen.append(_as_contact(chosen))


@settings(max_examples=60, deadline=None)
@given(policies, past, st.integers(0, 12))
def test_a_view_carried_over_is_the_view_computed_anew(
    declared: list[dict[str, Any]], contacts: list[tuple[int, str, str, str]], kept: int
) -> None:
    plan, after = _plan(declared), _customer(contacts)
    before = replace(after, log=after.log[:kept])
    assert view_of(plan, after, view_of(plan, before)) == view_of(plan, after)
    forgotten = replace(after, log=after.log[1:])
    assert view_of(plan, forgotten, view_of(plan, before)) == view_of(plan, forgotten)
    told = replace(after, attributes={"email": "a@example.com"})
    assert view_of(plan, told, view_of(plan, before)) == view_of(plan, told)


def test_a_window_is_open_at_its_old_end() -> None:
    """A contact as old as the window is out of it; one a microsecond younger is in it, as is one of now or later."""
    plan = plan_of(GRID + "contact_policies: {p: {limit: 3, rolling: 1d}}\n")
    (policy,) = plan.policies
    day = 24 * 3600 * SECOND
    for at, left in (
        (NOW - day - 1, 3), (NOW - day, 3), (NOW - day + 1, 2), (NOW - 1, 2), (NOW, 2), (NOW + 1, 2),
    ):  # fmt: skip
        assert remaining(policy, [at], NOW) == left, NOW - at
    assert remaining(policy, [NOW - day, NOW - day, NOW - day + 1, NOW, NOW + day], NOW) == 0
    assert remaining(policy, [NOW] * 5, NOW) == -2


def test_a_copied_allowance_is_taken_from_alone() -> None:
    plan = plan_of(GRID + "contact_policies: {p: {limit: 1, rolling: 1s}}\n")
    allowance = Allowance(plan, counted_times(plan, (), ()), NOW)
    copied = allowance.copy()
    copied.take(next(treatment for treatment in plan.treatments if treatment is not None))
    assert (allowance.left, copied.left) == ([1], [0])


def test_a_policy_without_scope_covers_everything_and_limit_0_means_never() -> None:
    plan = plan_of(GRID + "contact_policies: {never: {limit: 0, rolling: 1s}}\n")
    assert Allowance(plan, counted_times(plan, (), ()), NOW).blocked() == plan.declared


def test_a_contact_is_counted_by_its_labels_of_then() -> None:
    plan = plan_of(GRID + "contact_policies: {p: {limit: 1, rolling: 1d, scope: {group: g}}}\n")
    of_old = Contact(NOW - 1, "c", "web", "g", "inbound", SOME_DECISION)  # `c` was in `g` then, and is in `h` now
    customer = customer_of(contacts=[of_old])
    counted = counted_times(plan, customer.labels, customer.log)
    assert counted == ([NOW - 1],)
    blocked = Allowance(plan, counted, NOW).blocked()
    names = {t.id for t in plan.treatments if t is not None and blocked >> t.bit & 1}
    assert names == {"a/web", "a/in_app", "a/email", "b/in_app", "b/email"}
