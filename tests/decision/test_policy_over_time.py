"""Contact policy over the years of a customer, against an oracle that keeps every contact and counts by definition.

Decisions are made, stored and carried on as in the service, with nothing kept beyond what policies need; time moves on
by anything from a microsecond to months, across midnights, months, years of ISO weeks, and both changes of the clocks.
"""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from catalog.plan import Plan
from decision.answer import contacts_of
from decision.decide import Decision, decide
from decision.policy import lasting
from decision.request import NextActionRequest, resolve
from decision.view import view_of
from features.customer import Contact, Customer, with_contacts
from tests.customers import SOME_DECISION
from tests.decision.plans import plan_of

GRID = """
timezone: Australia/Lord_Howe
customer: {timezone: string}
channels: {web: {direction: inbound}, in_app: {direction: inbound}}
actions:
  a: {group: g, value: 4, treatments: {web: {t: x}, in_app: {t: x}}}
  b: {group: g, value: 3, treatments: {in_app: {t: x}}}
  c: {value: 2, treatments: {web: {t: x}}}
"""
TREATMENTS = [("a", "web", "g"), ("a", "in_app", "g"), ("b", "in_app", "g"), ("c", "web", "")]  # the best first
ZONES = ["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HALF_AN_HOUR = 1800 * SECOND
HOUR = 2 * HALF_AN_HOUR
DAY = 24 * HOUR

starts = st.sampled_from(
    [
        "2026-03-08T06:00Z",  # New York's clocks go forward an hour later
        "2026-11-01T04:30Z",  # and back
        "2026-10-03T14:30Z",  # Lord Howe's go forward by half an hour
        "2026-04-04T14:00Z",  # and back
        "2026-12-31T18:00Z",  # midnight in Kolkata half an hour later, in New York five hours after that in UTC
        "2027-01-03T12:00Z",  # the last day of the 53rd week of 2026
        "2028-02-28T12:30Z",
    ]
)
steps = st.builds(
    lambda base, micros: max(base + micros, 0),
    st.sampled_from([0, HALF_AN_HOUR, HOUR, 5 * HOUR, 12 * HOUR, DAY, 23 * HOUR, 3 * DAY, 7 * DAY, 28 * DAY, 31 * DAY]),
    st.integers(-1, 1),
)
scopes = st.fixed_dictionaries(
    {},
    optional={
        "action": st.lists(st.sampled_from("abc"), min_size=1, unique=True),
        "channel": st.sampled_from([["web"], ["in_app"]]),
    },
)
calendars = st.fixed_dictionaries(
    {
        "limit": st.integers(0, 3),
        "calendar": st.sampled_from(["hour", "day", "week", "month"]),
    },
    optional={"timezone": st.sampled_from(["customer", *ZONES])},
)
others = st.fixed_dictionaries(
    {"scope": scopes, "per": st.sampled_from([[], ["action"], ["group"], ["action", "channel"]])}
)
policies = st.lists(st.builds(lambda cap, rest: {**cap, **rest}, calendars, others), min_size=1, max_size=3)
Turn = tuple[int, int, str | None]
turns = st.lists(
    st.tuples(steps, st.integers(1, 3), st.sampled_from([*ZONES, "Mars/Phobos", None])), min_size=1, max_size=12
)


def _plan(declared: list[dict[str, Any]]) -> Plan:
    written = {
        f"p{place}": {key: value for key, value in policy.items() if value or key == "limit"}
        for place, policy in enumerate(declared)
    }
    return plan_of(f"{GRID}contact_policies: {json.dumps(written)}\n")


class Person:
    """A customer as the service has them, and beside it everything that ever happened to them."""

    def __init__(self, declared: list[dict[str, Any]], start: str) -> None:
        self.plan = _plan(declared)
        self.declared = declared
        self.now = (datetime.fromisoformat(start) - EPOCH) // timedelta(microseconds=1)
        self.customer = Customer()
        self.zone: str | None = None
        self.contacts: list[Contact] = []
        self._view = view_of(self.plan, self.customer)

    def becomes(self, customer: Customer) -> None:
        self.customer, self._view = customer, view_of(self.plan, customer, self._view)

    def moves_to(self, zone: str | None) -> None:
        self.zone = zone
        self.becomes(replace(self.customer, attributes={"timezone": zone} if zone else {}))

    def decide(self, limit: int) -> Decision:
        request = NextActionRequest("c", channels=["web", "in_app"], limit=limit)
        decision = decide(self.plan, resolve(request, self.plan), self._view, self.now, 0)
        added = contacts_of(decision, SOME_DECISION)
        self.contacts += added
        if added:
            since = self.now - self.plan.history
            self.becomes(with_contacts(self.customer, added, since, 0, partial(lasting, self.plan, 16)))
        return decision


def _label(key: str, contact: Contact) -> str:
    return {"action": contact.action, "channel": contact.channel, "group": contact.group}[key]


def _covers(policy: dict[str, Any], contact: Contact) -> bool:
    return all(_label(key, contact) in names for key, names in policy["scope"].items())


def _unit(calendar: str, zone: str, at: int) -> tuple[int, ...]:
    shown = (EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))
    match calendar:
        case "hour":
            return shown.year, shown.month, shown.day, shown.hour
        case "day":
            return shown.year, shown.month, shown.day
        case "week":
            return shown.isocalendar()[:2]
    return shown.year, shown.month


def _left(policy: dict[str, Any], person: Person, contacts: list[Contact], wanted: Contact) -> int | None:
    """What `policy` leaves for `wanted`; None where it has nothing to say about it."""
    if not _covers(policy, wanted):
        return None
    zone = policy.get("timezone", "Australia/Lord_Howe")
    if zone == "customer":
        zone = person.zone if person.zone in ZONES else "Australia/Lord_Howe"
    unit = partial(_unit, policy["calendar"], zone)
    mine = [
        contact
        for contact in contacts
        if _covers(policy, contact) and all(_label(key, contact) == _label(key, wanted) for key in policy["per"])
    ]
    return int(policy["limit"]) - sum(unit(contact.at) == unit(wanted.at) for contact in mine)


def _expected(person: Person, limit: int) -> list[tuple[str, str]]:
    """The best that may be, one after the other, an action once."""
    contacts = list(person.contacts)
    chosen: list[tuple[str, str]] = []
    for _ in range(limit):
        for action, channel, group in TREATMENTS:
            wanted = Contact(person.now, action, channel, group, "inbound", SOME_DECISION)
            lefts = [_left(policy, person, contacts, wanted) for policy in person.declared]
            if action not in {name for name, _ in chosen} and all(left is None or left > 0 for left in lefts):
                chosen.append((action, channel))
                contacts.append(wanted)
                break
    return chosen


def _expected_left(policy: dict[str, Any], person: Person) -> int:
    wanted = [
        Contact(person.now, action, channel, group, "inbound", SOME_DECISION) for action, channel, group in TREATMENTS
    ]
    lefts = [_left(policy, person, person.contacts, each) for each in wanted]
    return min((left for left in lefts if left is not None), default=policy["limit"])


@settings(max_examples=300, deadline=None)
@given(policies, starts, turns)
def test_what_is_decided_is_what_counting_by_the_definition_allows(
    declared: list[dict[str, Any]], start: str, turns: list[Turn]
) -> None:
    person = Person(declared, start)
    for step, limit, zone in turns:
        person.now += step
        if zone != person.zone:
            person.moves_to(zone)
        expected = _expected(person, limit)
        lefts = [_expected_left(policy, person) for policy in declared]
        decision = person.decide(limit)
        assert [(pick.treatment.action, pick.treatment.channel) for pick in decision.picks] == expected
        assert list(decision.left) == lefts
