"""Bodies of `POST /events`: read strictly, event by event.

What is no JSON, names a key twice, is no list of objects or holds too many is refused as a whole. Apart from that each
event stands for itself: one that can't be taken is refused, and the others stand. One that takes consent back is taken
without what can't be read of it (api.withdrawals).

Nearly all bodies hold events of our own shape and nothing wrong, and are read in one go by a typed decoder. Its way
through, `_plainly`, only ever says yes; for all else the body is read again, slowly, to find out what it is.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import msgspec

from api import cloud_events, segment
from api.bodies import decode_strictly
from api.cloud_events import cloud_event
from api.event_shapes import (
    MOST_EVENTS,
    MOST_PROPERTIES,
    OURS,
    UNSET,
    EventBody,
    Item,
    Refusal,
    keys_in,
    own,
    sent_of,
    size_of,
)
from api.problems import Problem
from api.segment import MARKS, message, sent_at_of
from api.withdrawals import withdrawal
from catalog.plan import Plan
from decision.request import has_controls
from features.applying import Sent

_one = msgspec.json.Decoder(EventBody)
_many = msgspec.json.Decoder(list[EventBody])
_any = msgspec.json.Decoder()
_WHITE = b" \t\r\n"


class Shape(Enum):
    """What a body holds, as its head says."""

    JSON = auto()
    """Ours or Segment's, one or many; the body itself tells which."""
    CLOUD_EVENT = auto()
    CLOUD_EVENTS = auto()
    DATA = auto()
    """The data of a CloudEvent whose attributes are headers."""


@dataclass(slots=True)
class Reading:
    """A body, read. `sent` are the events to be stored.

    `items` has one for each event of the body, in order; it is None where that is `sent` and nothing more is to be said
    about any of them. `single` says that the body was an event, not a list.
    """

    single: bool
    sent: list[Sent]
    items: list[Item | Refusal] | None = field(default=None)


def read(shape: Shape, attributes: dict[str, Any] | None, body: bytes, plan: Plan) -> Reading:
    """`attributes` are those in headers. Raises Problem where the whole is refused."""
    if shape is Shape.JSON:
        plain = _plainly(body)
        if plain is not None:
            return plain
    document = decode_strictly(_any, body) if body or shape is not Shape.DATA else {}
    match shape:
        case Shape.JSON:
            return _mixed(document, plan)
        case Shape.CLOUD_EVENT:
            return _reading([_cloud_event(_object(document, ""))], single=True)
        case Shape.CLOUD_EVENTS:
            return _reading([_cloud_event(each) for each in _list(document, "")])
        case Shape.DATA:
            return _reading([_cloud_event({**(attributes or {}), "data": document})], single=True)


def types_in(reading: Reading) -> list[str]:
    """The type of each event of the body, "" where it was refused."""
    if reading.items is None:
        return [sent.type for sent in reading.sent]
    return [item.sent.type if isinstance(item, Item) else "" for item in reading.items]


def _plainly(body: bytes) -> Reading | None:
    """None where anything is unusual, which then may be wrong or not."""
    single = body[:1] != b"["
    try:
        events = [_one.decode(body)] if single else _many.decode(body)
        keys = sum(map(_keys_of, events))
    except (ValueError, RecursionError):
        return None
    # Every key is followed by a colon: where there are no more of these than keys, none is repeated. (White space goes,
    # as there may be some between the two; what texts hold can only make them more.)
    if len(events) > MOST_EVENTS or body.translate(None, _WHITE).count(b'":') != keys:
        return None
    if len(body) > MOST_PROPERTIES and any(
        event.properties and size_of(event.properties) > MOST_PROPERTIES for event in events
    ):
        return None
    return Reading(single, list(map(sent_of, events)))


def _keys_of(event: EventBody) -> int:
    """How many keys the event has, at any depth. Raises ValueError where something in it can't be kept."""
    properties = event.properties
    if not (event.id.isprintable() and event.customer_id.isprintable() and event.type.isprintable()) and (
        has_controls(event.id) or has_controls(event.customer_id) or has_controls(event.type)
    ):
        raise ValueError("control characters")
    return (
        3
        + (event.at is not UNSET)
        + (event.decision_id is not UNSET)
        + (event.sent_at is not UNSET)
        + (0 if properties is UNSET else 1 + keys_in(properties))
    )


def _mixed(document: Any, plan: Plan) -> Reading:
    if isinstance(document, list):
        return _reading([_item(each, None, plan) for each in _list(document, "")])
    whole = _object(document, "")
    if "events" in whole:
        for name in whole.keys() - {"events"}:
            raise Problem("unknown_field", "beside `events` there is nothing", pointer=f"/{name}"[:200])
        return _reading([_item(each, None, plan) for each in _list(whole["events"], "/events")])
    if "batch" in whole:
        batch = _list(whole["batch"], "/batch")
        try:
            sent_at = sent_at_of(whole)
        except Problem as problem:
            # When any of these was can't be told, which what takes consent back can do without.
            mended = [_mended(each, problem) for each in batch]
            if not any(isinstance(each, Item) for each in mended):
                raise
            return _reading(mended)
        return _reading([_segment(each, sent_at, plan) for each in batch])
    return _reading([_item(whole, None, plan)], single=True)


def _reading(items: list[Item | Refusal], *, single: bool = False) -> Reading:
    return Reading(single, [item.sent for item in items if isinstance(item, Item)], items)


def _item(raw: dict[str, Any], sent_at: int | None, plan: Plan) -> Item | Refusal:
    if not MARKS.isdisjoint(raw):
        return _segment(raw, sent_at, plan)
    try:
        return own(raw)
    except Problem as problem:
        return withdrawal(raw, OURS) or Refusal(_text(raw.get("id")), problem)


def _segment(raw: dict[str, Any], sent_at: int | None, plan: Plan) -> Item | Refusal:
    try:
        return message(raw, sent_at, plan)
    except Problem as problem:
        return _mended(raw, problem)


def _mended(raw: dict[str, Any], problem: Problem) -> Item | Refusal:
    made = withdrawal(segment.fields(raw), segment.NAMES, ("taken_as_now",))
    return made or Refusal(_text(raw.get("messageId")), problem)


def _cloud_event(raw: dict[str, Any]) -> Item | Refusal:
    try:
        return cloud_event(raw)
    except Problem as problem:
        return withdrawal(cloud_events.fields(raw), cloud_events.NAMES) or Refusal(_text(raw.get("id")), problem)


def _text(raw: Any) -> str | None:
    return raw if isinstance(raw, str) else None


def _object(document: Any, pointer: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise Problem("invalid_value", "expected an event, which is a JSON object", pointer=pointer)
    return document


def _list(document: Any, pointer: str) -> list[dict[str, Any]]:
    if not isinstance(document, list):
        raise Problem("invalid_value", "expected a list of events", pointer=pointer)
    if len(document) > MOST_EVENTS:
        raise Problem(
            "too_many_events",
            f"a batch has at most {MOST_EVENTS:,} events, this one has {len(document):,}: send it in parts",
            pointer=pointer,
        )
    return [_object(each, f"{pointer}/{place}") for place, each in enumerate(document)]
