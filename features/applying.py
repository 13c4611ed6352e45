"""Applying: what events make of a customer. Pure: online, in bulk and in a backfill it is the same.

An event counts by the time at which it happened, in every series that its type feeds, and answers the contact whose
decision it names.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from catalog.plan import Plan
from features.customer import Customer, micros
from features.events import NO_MORE, Event
from features.readings import MisfitError, Reading
from features.responses import answered
from rules.types import EARLIEST

FUTURE_US = 5 * 60 * 1_000_000
"""How far ahead of the service's clock an event may be, in microseconds: it is then taken as happening now."""

_DECISION_ID = re.compile(r"[0-9a-f]{32}")


class Sent(msgspec.Struct, frozen=True, gc=False):
    """One event as a caller sent it.

    `at` is when it happened by the sender's clock, None for now; `sent_at` when it was sent by that clock, which tells
    how far off that is. Both in microseconds since 1970.
    """

    id: str
    customer_id: str
    type: str
    at: int | None = None
    properties: dict[str, Any] = {}
    decision_id: str = ""
    sent_at: int | None = None


class Result(msgspec.Struct, frozen=True, gc=False):
    """What became of an event. `status` is stored, duplicate or refused; a refusal has a stable `code`, the JSON
    pointer of the field and says in `detail` what would be right. `notes` are told of stored ones: `unknown_type` (the
    catalog doesn't declare it), `too_old` (no window reaches back to it), `no_contact` (there is none that it answers),
    `no_decision` (an outcome that names no decision, and so answers no contact), `decision_in_properties` (as it stands
    there, where it means nothing), `late` (from it on a contact counts in a limit, but its answer had expired, or its
    place been given back, before). Of those that take consent back also `older_than_consent` (a yes that was said after
    it stays in force), and what was made of them instead of refusing them: `taken_as_now` (its time can't be),
    `unreadable_decision` (it counts as if it named none), `not_counted` (a property misfits, so that no aggregate
    counts it).
    """

    status: str
    code: str = ""
    pointer: str = ""
    detail: str = ""
    notes: tuple[str, ...] = ()


STORED = Result("stored")
DUPLICATE = Result("duplicate")


class Applied(msgspec.Struct, frozen=True, gc=False):
    """A customer with events in them: `events` are those to be stored, `results` one for each that was sent."""

    customer: Customer
    events: tuple[Event, ...]
    results: list[Result]


def apply_events(plan: Plan, customer: Customer, sent: Sequence[Sent], now: int) -> Applied:
    """`customer` with the events of `sent`, received at `now` (microseconds since 1970). Pure."""
    stored: list[Event] = []
    results: list[Result] = []
    reading = Reading(plan.aggregates, now)
    for each in sent:
        taken = _taken(each, now)
        if isinstance(taken, Result):
            results.append(taken)
            continue
        event, made = taken
        try:
            late = reading.add(event.type, event.properties, event.at)
        except MisfitError as error:
            if event.type not in NO_MORE:
                results.append(Result("refused", error.code, "/properties/" + error.property, str(error)))
                continue
            late, made = False, (*made, "not_counted")
        customer, notes = _answering(plan, customer, event)
        stored.append(event)
        results.append(noted(("too_old", *made, *notes) if late else (*made, *notes)))
    series = reading.kept(customer.series)
    if series is not customer.series:
        customer = msgspec.structs.replace(customer, series=series)
    return Applied(customer, tuple(stored), results)


def noted(notes: tuple[str, ...]) -> Result:
    return Result("stored", notes=notes) if notes else STORED


def _taken(sent: Sent, now: int) -> tuple[Event, tuple[str, ...]] | Result:
    """What is to be stored and what there is to note of how it was read, or why it is refused.

    What takes consent back is never refused: it goes without what can't be read.
    """
    at, decision, notes = _happened(sent, now), sent.decision_id, list[str]()
    refused = _refused(sent, at, now)
    if refused is not None:
        if sent.type not in NO_MORE:
            return refused
        if not _EARLIEST <= at <= now + FUTURE_US:
            at = now
            notes.append("taken_as_now")
        if decision and not _DECISION_ID.fullmatch(decision):
            decision = ""
            notes.append("unreadable_decision")
    return Event(sent.id, sent.type, min(at, now), now, sent.properties, decision), tuple(notes)


def _refused(sent: Sent, at: int, now: int) -> Result | None:
    if at > now + FUTURE_US:
        return _ahead(at - now)
    if at < _EARLIEST:
        return _NO_TIME
    if sent.decision_id and not _DECISION_ID.fullmatch(sent.decision_id):
        return _NO_DECISION_ID
    return None


def _answering(plan: Plan, customer: Customer, event: Event) -> tuple[Customer, tuple[str, ...]]:
    """`customer` after what `event` says about a contact, and what there is to note about the event."""
    aggregates = plan.aggregates
    if event.type not in aggregates.outcomes:
        return customer, () if event.type in aggregates.declared else ("unknown_type",)
    undecided = _MISPLACED if misplaced(event.properties) else _UNDECIDED
    if not event.decision_id and event.type not in NO_MORE:
        return customer, undecided
    customer, found = answered(customer, event, plan)
    outdated = ("older_than_consent",) if found.outdated else ()
    if found.late:
        return customer, ("late", *outdated)
    if found.any:
        return customer, outdated
    if event.decision_id:
        return customer, ("no_contact", *outdated)
    return customer, (*undecided, *outdated)


def misplaced(properties: Mapping[str, Any]) -> bool:
    """Whether the decision stands where nobody looks for it."""
    return properties.get("decision_id") is not None


def _happened(sent: Sent, now: int) -> int:
    """By our clock: what lay between happening and sending, by the sender's clock, lay before the receipt."""
    if sent.at is None:
        return now
    return sent.at if sent.sent_at is None else sent.at + (now - sent.sent_at)


def _ahead(us: int) -> Result:
    detail = f"lies {us / 60e6:,.1f} minutes ahead of this service's clock; give `sent_at` if the sender's clock is off"
    return Result("refused", "from_the_future", "/at", detail)


_EARLIEST = micros(EARLIEST)
_NO_TIME = Result("refused", "out_of_range", "/at", "lies before the year 1: no calendar has it")
_UNDECIDED, _MISPLACED = ("no_decision",), ("no_decision", "decision_in_properties")
_NO_DECISION_ID = Result(
    "refused", "invalid_value", "/decision_id", "a decision id is 32 lower-case hexadecimal digits"
)
