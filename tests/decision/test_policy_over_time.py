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
from features.events import Event
from features.responses import answered
from tests.customers import SOME_DECISION
from tests.decision.plans import plan_of

GRID = """
timezone: Australia/Lord_Howe
customer: {timezone: string, contract: string}
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
CONTRACT = "customer.contract"
others = st.fixed_dictionaries(
    {
        "scope": scopes,
        "per": st.sampled_from([[], ["action"], ["group"], ["action", "channel"], [CONTRACT], ["action", CONTRACT]]),
    }
)
pauses = st.fixed_dictionaries(
    {
        "after": st.fixed_dictionaries(
            {
                "outcome": st.sampled_from(["dismiss", "impression"]),
                "times": st.integers(1, 3),
                "rolling": st.sampled_from(["1h", "1d", "7d", "30d"]),
            },
            optional={"without": st.just("click")},
        ),
        "pause": st.sampled_from(["1h", "1d", "7d", "31d"]),
    }
)
policies = st.lists(st.builds(lambda cap, rest: {**cap, **rest}, calendars | pauses, others), min_size=1, max_size=3)
contracts = st.sampled_from([None, "k1", "k2"])
# What came of which contact, counted from the last one backwards, and how long ago.
came = st.lists(
    st.tuples(
        st.sampled_from(["dismiss", "impression", "click"]), st.integers(0, 4), st.sampled_from([0, HALF_AN_HOUR, DAY])
    ),
    max_size=3,
)
Turn = tuple[int, int, str | None, str | None, list[tuple[str, int, int]]]
turns = st.lists(
    st.tuples(steps, st.integers(1, 3), st.sampled_from([*ZONES, "Mars/Phobos", None]), contracts, came),
    min_size=1,
    max_size=12,
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
        self.contract: str | None = None
        self.contacts: list[Contact] = []
        self.came: dict[tuple[str, str, str], dict[str, list[int]]] = {}  # times by kind, of each contact
        self._view = view_of(self.plan, self.customer)

    def becomes(self, customer: Customer) -> None:
        self.customer, self._view = customer, view_of(self.plan, customer, self._view)

    def states(self, zone: str | None, contract: str | None) -> None:
        self.zone, self.contract = zone, contract
        stated = {"timezone": zone, "contract": contract}
        stated = {name: value for name, value in stated.items() if value is not None}
        if stated != self.customer.attributes:
            self.becomes(replace(self.customer, attributes=stated))

    def responds(self, kind: str, contact: Contact, at: int) -> None:
        properties = {"action": contact.action, "channel": contact.channel}
        event = Event("e", kind, at, self.now, properties, contact.decision)
        customer, found = answered(self.customer, event, self.plan)
        self.becomes(customer)
        assert found or contact.at <= self.now - self.plan.history
        if found:
            self.came.setdefault(_name(contact), {}).setdefault(kind, []).append(at)

    def decide(self, limit: int) -> Decision:
        request = NextActionRequest("c", channels=["web", "in_app"], limit=limit)
        decision = decide(self.plan, resolve(request, self.plan), self._view, self.now, 0)
        added = contacts_of(decision, f"{len(self.contacts):032x}")
        self.contacts += added
        if added:
            since = self.now - self.plan.history
            self.becomes(with_contacts(self.customer, added, since, 0, partial(lasting, self.plan, 16, self.now)))
        return decision


def _name(contact: Contact) -> tuple[str, str, str]:
    return contact.decision, contact.action, contact.channel


def _label(key: str, contact: Contact) -> str | None:
    labels = {"action": contact.action, "channel": contact.channel, "group": contact.group}
    return labels[key] if key in labels else dict(contact.keys).get(key)


def _same(key: str, contact: Contact, wanted: Contact) -> bool:
    """What isn't known of a contact may be the same."""
    return _label(key, contact) in (_label(key, wanted), None)


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
    if any(_label(key, wanted) is None for key in policy["per"]):
        return 0
    mine = [
        contact
        for contact in contacts
        if _covers(policy, contact) and all(_same(key, contact, wanted) for key in policy["per"])
    ]
    if "after" in policy:
        return 0 if _paused(policy, person, mine) else 1
    zone = policy.get("timezone", "Australia/Lord_Howe")
    if zone == "customer":
        zone = person.zone if person.zone in ZONES else "Australia/Lord_Howe"
    unit = partial(_unit, policy["calendar"], zone)
    return int(policy["limit"]) - sum(unit(contact.at) == unit(wanted.at) for contact in mine)


SPANS = {"1h": HOUR, "1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "31d": 31 * DAY}


def _paused(policy: dict[str, Any], person: Person, contacts: list[Contact]) -> bool:
    after = policy["after"]
    counting = [at for contact in contacts for at in _times(person, contact, after["outcome"])]
    preventing = [at for contact in contacts for at in _times(person, contact, after.get("without", ""))]

    def pauses(last: int) -> bool:
        since = last - SPANS[after["rolling"]]
        return sum(since < at <= last for at in counting) >= after["times"] and not any(at > since for at in preventing)

    return any(pauses(last) for last in counting if person.now < last + SPANS[policy["pause"]])


def _times(person: Person, contact: Contact, kind: str) -> list[int]:
    """The first when it was, all others when the last was."""
    times = person.came.get(_name(contact), {}).get(kind, [])
    return [min(times)] + [max(times)] * (len(times) - 1) if times else []


def _wanted(person: Person, action: str, channel: str, group: str) -> Contact:
    keys = ((CONTRACT, person.contract),) if person.contract else ()
    return Contact(person.now, action, channel, group, "inbound", SOME_DECISION, keys)


def _expected(person: Person, limit: int) -> list[tuple[str, str]]:
    """The best that may be, one after the other, an action once."""
    contacts = list(person.contacts)
    chosen: list[tuple[str, str]] = []
    for _ in range(limit):
        for action, channel, group in TREATMENTS:
            wanted = _wanted(person, action, channel, group)
            lefts = [_left(policy, person, contacts, wanted) for policy in person.declared]
            if action not in {name for name, _ in chosen} and all(left is None or left > 0 for left in lefts):
                chosen.append((action, channel))
                contacts.append(wanted)
                break
    return chosen


def _expected_left(policy: dict[str, Any], person: Person) -> int:
    lefts = [_left(policy, person, person.contacts, _wanted(person, *each)) for each in TREATMENTS]
    if CONTRACT in policy["per"] and person.contract is None:
        return 0  # whatever it covers
    return min((left for left in lefts if left is not None), default=policy.get("limit", 1))


@settings(max_examples=300, deadline=None)
@given(policies, starts, turns)
def test_what_is_decided_is_what_counting_by_the_definition_allows(
    declared: list[dict[str, Any]], start: str, turns: list[Turn]
) -> None:
    person = Person(declared, start)
    for step, limit, zone, contract, came in turns:
        person.now += step
        person.states(zone, contract)
        for kind, back, ago in came:
            if back < len(person.contacts):
                contact = person.contacts[-1 - back]
                person.responds(kind, contact, max(person.now - ago, contact.at))
        expected = _expected(person, limit)
        lefts = [_expected_left(policy, person) for policy in declared]
        decision = person.decide(limit)
        assert [(pick.treatment.action, pick.treatment.channel) for pick in decision.picks] == expected
        assert list(decision.left) == lefts
