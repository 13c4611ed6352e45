"""Allowance against an oracle that keeps every contact and counts anew, by the definition, at every step."""

import json
from datetime import UTC
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catalog.plan import Plan, Treatment
from decision.counted import counted_of
from decision.lasting import KEPT_ANYWAY, SWEEP, lasting, with_lasting
from decision.policy import LONGEST_KEY, Allowance, counts_after, keys_of, remaining
from decision.view import view_of
from features.customer import Contact, Customer, moment, with_contacts
from tests.customers import SOME_DECISION, customer_of
from tests.decision.plans import plan_of

GRID = """
customer: {email: string, contract: string, seats: int, vip: bool}
context: {site: string}
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
EXPRESSIONS = ["customer.contract", "customer.seats", 'context.site + "!"']
windows = st.fixed_dictionaries({"rolling": st.integers(1, 5)}) | st.just({"lifetime": True})
policies = st.lists(
    st.builds(
        lambda window, others: {**window, **others},
        windows,
        st.fixed_dictionaries(
            {
                "limit": st.integers(0, 4),
                "scope": scopes,
                "per": st.lists(st.sampled_from([*NAMES, *EXPRESSIONS]), max_size=2, unique=True),
            }
        ),
    ),
    max_size=4,
)
# What is known of the customer: an expression whose value is missing has none.
known_keys = st.fixed_dictionaries(
    {},
    optional={
        "customer.contract": st.sampled_from(["k1", "k2"]),
        "customer.seats": st.sampled_from(["1", "2"]),
        'context.site + "!"': st.sampled_from(["x!", "y!"]),
    },
)
# Ages around whole seconds, as the windows are of whole seconds; a few lie in the future.
ages = st.builds(lambda seconds, micros: seconds * SECOND + micros, st.integers(-1, 6), st.integers(-1, 1))
past = st.lists(
    st.tuples(
        ages,
        st.sampled_from("abcdx"),
        st.sampled_from(["web", "in_app", "email"]),
        st.sampled_from(["g", "h", ""]),
        known_keys,
    ),
    max_size=12,
)
Past = list[tuple[int, str, str, str, dict[str, str]]]


def _plan(declared: list[dict[str, Any]]) -> Plan:
    written = {
        f"p{place}": {
            key: f"{value}s" if key == "rolling" else value
            for key, value in policy.items()
            if (key, value) != ("per", [])
        }
        for place, policy in enumerate(declared)
    }
    return plan_of(f"{GRID}contact_policies: {json.dumps(written)}\n")


def _customer(contacts: Past) -> Customer:
    return customer_of(contacts=_contacts(contacts))


def _contacts(contacts: Past) -> tuple[Contact, ...]:
    oldest_first = sorted(contacts, key=lambda contact: -contact[0])
    return tuple(
        Contact(
            NOW - age,
            action,
            channel,
            group,
            "outbound" if channel == "email" else "inbound",
            SOME_DECISION,
            tuple(sorted(keys.items())),
        )
        for age, action, channel, group, keys in oldest_first
    )


def _labels(contact: Contact) -> dict[str, str]:
    return {
        "direction": contact.direction,
        "channel": contact.channel,
        "group": contact.group,
        "action": contact.action,
        "treatment": f"{contact.action}/{contact.channel}",
    }


def _in_scope(scope: dict[str, list[str]], contact: Contact) -> bool:
    return all(_labels(contact)[label] in names for label, names in scope.items())


def _as_contact(treatment: Treatment, keys: dict[str, str], at: int = NOW) -> Contact:
    return Contact(
        at,
        treatment.action,
        treatment.channel,
        treatment.group,
        treatment.direction,
        SOME_DECISION,
        tuple(sorted(keys.items())),
    )


def _left(policy: dict[str, Any], contacts: list[Contact], wanted: Contact) -> int | None:
    """What `policy` leaves for `wanted` at its time, None where it has nothing to say about it."""
    if not _in_scope(policy["scope"], wanted):
        return None
    mine = {**_labels(wanted), **dict(wanted.keys)}
    if not all(key in mine for key in policy["per"]):
        return 0
    since = wanted.at - policy["rolling"] * SECOND if "rolling" in policy else -1
    left: int = policy["limit"]
    for contact in contacts:
        theirs = {**_labels(contact), **dict(contact.keys)}
        same = all(theirs.get(key, mine[key]) == mine[key] for key in policy["per"])
        left -= contact.at > since and _in_scope(policy["scope"], contact) and same
    return left


def _blocked(declared: list[dict[str, Any]], contacts: list[Contact], wanted: Contact) -> bool:
    lefts = [_left(policy, contacts, wanted) for policy in declared]
    return any(left is not None and left <= 0 for left in lefts)


@pytest.mark.untraced
@settings(max_examples=200, deadline=None)
@given(policies, past, known_keys, st.lists(st.integers(0, 6), max_size=6))
def test_allowance_is_what_counting_by_the_definition_gives(
    declared: list[dict[str, Any]], contacts: Past, keys: dict[str, str], picks: list[int]
) -> None:
    plan, customer = _plan(declared), _customer(contacts)
    treatments = [treatment for treatment in plan.treatments if treatment is not None]
    allowance = Allowance(plan, counted_of(plan, customer.labels, customer.log)[0], keys, NOW)
    seen = list(customer.contacts)
    for pick in [*picks, 0]:
        blocked = allowance.blocked()
        for treatment in treatments:
            as_expected = _blocked(declared, seen, _as_contact(treatment, keys))
            assert bool(blocked >> treatment.bit & 1) == as_expected, treatment.id
            _assert_least(declared, seen, _as_contact(treatment, keys), allowance.least(1 << treatment.bit))
        chosen = treatments[pick]
        allowance.take(chosen)
        seen.append(_as_contact(chosen, keys))


def _assert_least(
    declared: list[dict[str, Any]], contacts: list[Contact], wanted: Contact, told: tuple[int, ...]
) -> None:
    for policy, least in zip(declared, told, strict=True):
        left = _left(policy, contacts, wanted)
        assert left is None or least == min(left, policy["limit"])


@settings(max_examples=100, deadline=None)
@given(policies, past, known_keys, st.integers(0, 4))
def test_nothing_is_forgotten_that_a_policy_still_counts(
    declared: list[dict[str, Any]], contacts: Past, keys: dict[str, str], latest: int
) -> None:
    """Added one by one, with what may be dropped dropped each time, as over the years of a customer."""
    plan, customer = _plan(declared), Customer()
    for contact in _contacts(contacts):
        customer = with_contacts(customer, (contact,), latest, partial(lasting, plan, contact.at))
    treatments = [treatment for treatment in plan.treatments if treatment is not None]
    later = NOW + 2 * SECOND
    blocked = Allowance(plan, counted_of(plan, customer.labels, customer.log)[0], keys, later).blocked()
    for treatment in treatments:
        as_expected = _blocked(declared, list(_contacts(contacts)), _as_contact(treatment, keys, later))
        assert bool(blocked >> treatment.bit & 1) == as_expected, treatment.id


def test_of_what_only_lifetime_policies_count_the_latest_up_to_the_limit_stay() -> None:
    plan = plan_of(GRID + "contact_policies: {p: {limit: 2, lifetime: true, per: action, scope: {group: g}}}\n")
    customer = Customer()
    for at, action in enumerate("aabcacbac", start=1):
        added = (Contact(at, action, "web", "h" if action == "c" else "g", "inbound", SOME_DECISION),)
        customer = with_contacts(customer, added, 0, partial(lasting, plan, at))
    kept = [(contact.at, contact.action) for contact in customer.contacts]
    assert kept == [(3, "b"), (5, "a"), (7, "b"), (8, "a"), (9, "c")]  # what was just added stays for now


def test_what_nobody_needs_goes_within_so_many_contacts() -> None:
    """With two contacts at a time, from an odd number, multiples are only ever passed over."""
    plan = plan_of(GRID + "contact_policies: {p: {limit: 1, lifetime: true, scope: {action: a}}}\n")
    customer, lengths = Customer(), []
    for at in range(1, 200):
        added = tuple(Contact(at, "c", "web", "h", "inbound", SOME_DECISION) for _ in range(1 if at == 1 else 2))
        customer = with_lasting(plan, customer, added, at)
        lengths.append(len(customer.log))
    assert KEPT_ANYWAY < max(lengths) <= KEPT_ANYWAY + SWEEP + 2


@settings(max_examples=60, deadline=None)
@given(policies, past, st.integers(0, 12))
def test_a_view_carried_over_is_the_view_computed_anew(
    declared: list[dict[str, Any]], contacts: Past, kept: int
) -> None:
    plan, after = _plan(declared), _customer(contacts)
    before = replace(after, log=after.log[:kept])
    assert view_of(plan, after, view_of(plan, before)) == view_of(plan, after)
    forgotten = replace(after, log=after.log[1:])
    assert view_of(plan, forgotten, view_of(plan, before)) == view_of(plan, forgotten)
    told = replace(after, attributes={"email": "a@example.com"})
    assert view_of(plan, told, view_of(plan, before)) == view_of(plan, told)


def test_what_is_held_is_counted_in_its_place_whenever_it_was_granted() -> None:
    """Its time is later than that of contacts granted after it: a list that isn't ascending would lose some of them."""
    held = "{p: {limit: 9, rolling: 1s}, q: {limit: 9, rolling: 1s, per: action}}"
    plan = plan_of(GRID + f"contact_policies: {held}\n")
    contacts = tuple(
        Contact(at, "a", "web", "g", "inbound", SOME_DECISION) for at in (NOW, NOW + 9 * SECOND, NOW + 1, NOW + 2)
    )
    after = customer_of(contacts=contacts)
    before = replace(after, log=after.log[:2])
    carried = view_of(plan, after, view_of(plan, before))
    assert carried == view_of(plan, after)
    in_order = [NOW, NOW + 1, NOW + 2, NOW + 9 * SECOND]
    assert carried.counted == (in_order, {(): {("a",): in_order}})
    assert Allowance(plan, carried.counted, {}, NOW + SECOND + 1).left[0] == 7  # NOW and NOW + 1 are out of the window


def test_what_is_held_stays_until_then_and_keeps_nothing_else() -> None:
    """Nothing counts here, so only the time of what was granted for later keeps it."""
    plan = plan_of(GRID)
    customer = customer_of(contacts=[Contact(NOW + 9, "a", "web", "g", "inbound", SOME_DECISION)])
    for at in (NOW, NOW + 1, NOW + 8, NOW + 9):
        added = (Contact(at, "a", "web", "g", "inbound", SOME_DECISION),)
        customer = with_contacts(customer, added, 0, partial(lasting, plan, at))
        expected = [9, at - NOW] if at < NOW + 9 else [9]
        assert [contact.at - NOW for contact in customer.contacts] == expected


def test_a_window_is_open_at_its_old_end() -> None:
    """A contact as old as the window is out of it; one a microsecond younger is in it, as is one of now or later."""
    plan = plan_of(GRID + "contact_policies: {p: {limit: 3, rolling: 1d}}\n")
    (policy,) = plan.policies
    day, since = 24 * 3600 * SECOND, counts_after(policy, NOW, UTC)
    for at, left in (
        (NOW - day - 1, 3), (NOW - day, 3), (NOW - day + 1, 2), (NOW - 1, 2), (NOW, 2), (NOW + 1, 2),
    ):  # fmt: skip
        assert remaining(policy.limit, [at], since) == left, NOW - at
    assert remaining(policy.limit, [NOW - day, NOW - day, NOW - day + 1, NOW, NOW + day], since) == 0
    assert remaining(policy.limit, [NOW] * 5, since) == -2


def test_a_copied_allowance_is_taken_from_alone() -> None:
    plan = plan_of(GRID + "contact_policies: {p: {limit: 1, rolling: 1s}}\n")
    allowance = Allowance(plan, counted_of(plan, (), ())[0], {}, NOW)
    copied = allowance.copy()
    copied.take(next(treatment for treatment in plan.treatments if treatment is not None))
    assert (allowance.left, copied.left) == ([1], [0])


def test_a_policy_without_scope_covers_everything_and_limit_0_means_never() -> None:
    plan = plan_of(GRID + "contact_policies: {never: {limit: 0, rolling: 1s}}\n")
    assert Allowance(plan, counted_of(plan, (), ())[0], {}, NOW).blocked() == plan.declared


def test_a_contact_is_counted_by_its_labels_of_then() -> None:
    plan = plan_of(GRID + "contact_policies: {p: {limit: 1, rolling: 1d, scope: {group: g}}}\n")
    of_old = Contact(NOW - 1, "c", "web", "g", "inbound", SOME_DECISION)  # `c` was in `g` then, and is in `h` now
    customer = customer_of(contacts=[of_old])
    counted, _ = counted_of(plan, customer.labels, customer.log)
    assert counted == ([NOW - 1],)
    blocked = Allowance(plan, counted, {}, NOW).blocked()
    names = {t.id for t in plan.treatments if t is not None and blocked >> t.bit & 1}
    assert names == {"a/web", "a/in_app", "a/email", "b/in_app", "b/email"}


def _keys(plan: Plan, attributes: dict[str, Any], context: dict[str, Any] | None = None) -> dict[str, str]:
    return keys_of(plan, plan.frame(attributes, context or {}, moment(NOW)))


def test_the_values_of_keys_are_text_and_what_is_missing_is_absent() -> None:
    per = [*EXPRESSIONS, "customer.vip", "customer.seats > 3"]
    plan = plan_of(GRID + f"contact_policies: {{p: {{limit: 1, rolling: 1d, per: {json.dumps(per)}}}}}\n")
    assert _keys(plan, {}) == {}
    assert _keys(plan, {"contract": "k1", "seats": 7, "vip": True}, {"site": "x"}) == {
        "customer.contract": "k1",
        "customer.seats": "7",
        'context.site + "!"': "x!",
        "customer.vip": "true",
        "customer.seats > 3": "true",
    }
    assert _keys(plan, {"contract": "", "vip": False}) == {"customer.contract": "", "customer.vip": "false"}


def test_a_long_value_is_kept_as_its_hash() -> None:
    plan = plan_of(GRID + "contact_policies: {p: {limit: 1, rolling: 1d, per: customer.contract}}\n")
    longest = "k" * LONGEST_KEY
    kept = [_keys(plan, {"contract": text})["customer.contract"] for text in (longest, longest + "a", longest + "b")]
    assert kept[0] == longest
    assert len(set(kept)) == 3
    assert max(len(text) for text in kept) == LONGEST_KEY


@pytest.mark.parametrize(("purpose", "for_good"), [("", True), (", purpose: marketing", False)])
def test_who_is_known_by_contacts_alone_is_kept_as_long_as_these_count(purpose: str, for_good: bool) -> None:
    """Without a purpose nobody is asked for consent, so a contact may be all there is to know."""
    plan = plan_of(f"""
purposes: [marketing]
channels: {{web: {{direction: inbound{purpose}}}}}
actions: {{a: {{value: 1, treatments: {{web: {{t: x}}}}}}}}
contact_policies: {{p: {{limit: 1, lifetime: true, scope: {{channel: web}}}}}}
""")
    century_ms = 100 * 365 * 24 * 3600 * 1000
    assert (plan.lifetime_ms == century_ms) == for_good
    assert plan.history == (24 * 3600 + 1800) * SECOND  # while it is valid, and then for late impressions
