"""Events in Segment's shape: track, identify, page, screen, group and alias.

Senders add a lot to their messages that means nothing here (`context`, `integrations`, a `writeKey` …), so what we
don't use is left aside. An `identify` states attributes of the customer; those that the catalog declares are set.

What their specification calls the events of e-mail, which come from those who send it, are outcomes here by our names.

Sources: https://segment.com/docs/connections/spec/common/, https://segment.com/docs/connections/spec/email/
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from api.customer_bodies import CustomerPatch, stated
from api.event_shapes import (
    EventType,
    Instant,
    Item,
    Names,
    converted,
    refuse_controls,
    refuse_unbounded,
)
from api.problems import Problem
from catalog.plan import Plan
from decision.request import Identifier
from features.applying import Sent
from features.customer import micros
from features.events import NO_MORE
from features.keys import LONGEST_ID

MARKS = frozenset({"messageId", "userId", "anonymousId"})
"""An object with one of these is a message of Segment's, whatever else it has."""

OUTCOMES = {
    "Email Delivered": "delivered",
    "Email Opened": "opened",
    "Email Link Clicked": "click",
    "Email Bounced": "bounced",
    "Email Marked as Spam": "complained",
    "Unsubscribed": "unsubscribed",
}
WITHDRAWING = frozenset(theirs for theirs, ours in OUTCOMES.items() if ours in NO_MORE)
NAMES: Names = {"/id": "/messageId", "/customer_id": "/userId", "/at": "/timestamp", "/sent_at": "/sentAt"} | {
    "/decision_id": "/properties/decision_id"
}

CustomerId = Annotated[str, msgspec.Meta(max_length=LONGEST_ID)]
Kind = Literal["track", "identify", "page", "screen", "group", "alias"]
_TRAITS = frozenset({"identify", "group"})  # they have traits where others have properties


class SegmentMessage(msgspec.Struct, rename="camel", frozen=True):
    """One message. The customer is `userId`, else `anonymousId`; the event's type is a track's `event`, else `type`."""

    type: Kind
    message_id: Identifier
    user_id: CustomerId | None = None
    anonymous_id: CustomerId | None = None
    event: EventType | None = None
    name: str | None = None
    category: str | None = None
    timestamp: Instant | None = None
    original_timestamp: Instant | None = None
    sent_at: Instant | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None


class SegmentBatch(msgspec.Struct, rename="camel", frozen=True):
    """Messages sent together; `sentAt` holds for those that have none of their own."""

    batch: list[SegmentMessage]
    sent_at: Instant | None = None


class _Sending(msgspec.Struct, rename="camel", frozen=True):
    sent_at: Instant | None = None


def sent_at_of(batch: dict[str, Any]) -> int | None:
    """When a batch was sent, by its sender's clock, in microseconds. Raises Problem."""
    at = converted({"sentAt": batch.get("sentAt")}, _Sending).sent_at
    return None if at is None else micros(at)


def message(raw: dict[str, Any], batch_sent_at: int | None, plan: Plan) -> Item:
    """Raises Problem."""
    found = converted(raw, SegmentMessage)
    customer_id, whose = (found.user_id, "/userId") if found.user_id else (found.anonymous_id, "/anonymousId")
    if not customer_id:
        raise Problem("missing_field", "expected userId or anonymousId", pointer="/userId")
    kind, field = _type_of(found, plan), "/traits" if found.type in _TRAITS else "/properties"
    refuse_controls((found.message_id, "/messageId"), (customer_id, whose), (kind, "/event"))
    properties = _properties_of(found)
    refuse_unbounded(properties, field)
    at, sent_at, when = _times_of(found, batch_sent_at)
    sent = Sent(found.message_id, customer_id, kind, at, properties, _answered(properties, field), sent_at)
    names: Names = {"/at": when, "/properties": field, "/decision_id": f"{field}/decision_id"}
    if found.type != "identify":
        return Item(sent, names)
    declared = {name: value for name, value in properties.items() if name in plan.customer_types}
    return Item(sent, names, _traits(plan, declared), len(properties) - len(declared))


def fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What there is of a track by our names, whatever it is; without its times, as by which clock they are depends on
    fields that may be what can't be read.
    """
    properties, event = raw.get("properties"), raw.get("event")
    return {
        "id": raw.get("messageId"),
        "customer_id": raw.get("userId") or raw.get("anonymousId"),
        "type": OUTCOMES.get(event, event) if isinstance(event, str) else None,
        "properties": properties,
        "decision_id": properties.get("decision_id") if isinstance(properties, dict) else None,
    }


def _type_of(found: SegmentMessage, plan: Plan) -> str:
    """An event that the catalog declares by Segment's name keeps it, unless it takes consent back."""
    if found.type != "track":
        return found.type
    if found.event is None:
        raise Problem("missing_field", "a track message has an event", pointer="/event")
    if found.event in plan.aggregates.declared and found.event not in WITHDRAWING:
        return found.event
    return OUTCOMES.get(found.event, found.event)


def _properties_of(found: SegmentMessage) -> dict[str, Any]:
    if found.type in _TRAITS:
        return found.traits or {}
    named = {"name": found.name, "category": found.category} if found.type in ("page", "screen") else {}
    return {name: value for name, value in named.items() if value is not None} | (found.properties or {})


def _times_of(found: SegmentMessage, batch_sent_at: int | None) -> tuple[int | None, int | None, str]:
    """When it happened and when it was sent, by the sender's clock, and the field that says the first.

    With an `originalTimestamp` beside it, `timestamp` was corrected by whoever forwarded the message: it is taken as it
    is.
    """
    if found.timestamp is not None and found.original_timestamp is not None:
        return micros(found.timestamp), None, "/timestamp"
    at, name = found.timestamp, "/timestamp"
    if at is None:
        at, name = found.original_timestamp, "/originalTimestamp"
    sent_at = batch_sent_at if found.sent_at is None else micros(found.sent_at)
    return (None if at is None else micros(at)), sent_at, name


def _answered(properties: Mapping[str, Any], field: str) -> str:
    """The decision a message answers: Segment has no field for it, so it stands among the properties."""
    decision_id = properties.get("decision_id") or ""
    if not isinstance(decision_id, str):
        raise Problem("invalid_value", "a decision id is a text", pointer=f"{field}/decision_id")
    return decision_id


def _traits(plan: Plan, declared: dict[str, Any]) -> dict[str, Any]:
    """As values of their declared types; None removes. Raises Problem."""
    try:
        return stated(plan, CustomerPatch(attributes=declared), removing=True)
    except Problem as problem:
        told = (problem.pointer or "").replace("/attributes/", "/traits/", 1)
        raise Problem(problem.code, problem.detail, pointer=told) from None
