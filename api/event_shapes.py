"""Events as callers write them: our own shape, and what holds for all shapes; api.segment and api.cloud_events know
the others. Whatever the shape, what comes of an event is a `Sent`, or a Problem that says what would be right.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from api.misfits import misfit
from api.problems import Problem
from decision.request import Identifier, has_controls
from features.applying import Sent
from features.customer import micros
from features.keys import LONGEST_ID
from rules.types import INT64_MAX, INT64_MIN

MOST_EVENTS = 1_000  # in a batch
MOST_PROPERTIES = 32 * 1024  # bytes of JSON, of one event
DEEPEST = 16  # objects and lists within each other, the properties themselves being the first
UNSET = msgspec.UNSET

Instant = Annotated[datetime, msgspec.Meta(tz=True, description="RFC 3339 with a zone.")]
EventType = Annotated[
    str, msgspec.Meta(min_length=1, max_length=128, extra_json_schema={"pattern": r"^[^\x00-\x1f\x7f]+$"})
]
DecisionId = Annotated[str, msgspec.Meta(max_length=LONGEST_ID)]
Names = Mapping[str, str]
"""How a shape calls the fields of ours, as JSON pointers; those that are called the same are left out."""
OURS: Names = {}
T = TypeVar("T")


class EventBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """One event. `at` is when it happened (default: now); `sent_at` when it was sent by the sender's clock, which tells
    how far off that is. `decision_id` is that of the decision it answers.
    """

    id: Identifier
    customer_id: Identifier
    type: EventType
    at: Instant | msgspec.UnsetType | None = UNSET
    properties: dict[str, Any] | msgspec.UnsetType = UNSET
    decision_id: DecisionId | msgspec.UnsetType | None = UNSET
    sent_at: Instant | msgspec.UnsetType | None = UNSET


class Item(NamedTuple):
    """An event that can be taken. `traits` are attributes of the customer to be set with it, `undeclared` how many more
    the catalog doesn't declare; `notes` what else there is to tell of how it was read.
    """

    sent: Sent
    names: Names = OURS
    traits: Mapping[str, Any] = {}
    undeclared: int = 0
    notes: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """An event that can't. `id` is its own, as far as it could be read."""

    id: str | None
    problem: Problem


def own(raw: dict[str, Any]) -> Item:
    """An event in our shape. Raises Problem."""
    event = converted(raw, EventBody)
    refuse_controls((event.id, "/id"), (event.customer_id, "/customer_id"), (event.type, "/type"))
    properties = event.properties or {}
    refuse_unbounded(properties, "/properties")
    return Item(sent_of(event))


def sent_of(event: EventBody) -> Sent:
    """Of an event that was looked at already."""
    at, sent_at = event.at, event.sent_at
    return Sent(
        event.id,
        event.customer_id,
        event.type,
        micros(at) if at else None,
        event.properties or {},
        event.decision_id or "",
        micros(sent_at) if sent_at else None,
    )


def converted(raw: dict[str, Any], shape: type[T]) -> T:
    """Raises Problem, with a pointer from the event on."""
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise misfit(str(error), shape, raw) from None


def refuse_controls(*named: tuple[str, str]) -> None:
    """Pairs of a text and its pointer. Raises Problem."""
    for text, pointer in named:
        if has_controls(text):
            raise Problem("invalid_value", "an id or a type has no control characters", pointer=pointer)


def refuse_unbounded(properties: dict[str, Any], pointer: str) -> None:
    """Raises Problem for properties that are too large, too deep, or hold numbers that can't be kept."""
    try:
        keys_in(properties)
    except ValueError as error:
        raise Problem("invalid_value", str(error), pointer=pointer) from None
    if (size := size_of(properties)) > MOST_PROPERTIES:
        raise Problem(
            "invalid_value", f"expected at most {MOST_PROPERTIES:,} bytes of JSON, got {size:,}", pointer=pointer
        )


def size_of(properties: dict[str, Any]) -> int:
    """Bytes of JSON without white space."""
    return len(_encode(properties))


def keys_in(properties: dict[str, Any], depth: int = 1) -> int:
    """How many keys there are, at any depth. Raises ValueError for a number that can't be kept, or too deep nesting."""
    keys = len(properties)
    for value in properties.values():
        if value.__class__ not in _PLAIN:
            keys += _keys_of(value, depth)
    return keys


def _keys_of(value: Any, depth: int) -> int:
    if value.__class__ is int:
        if not INT64_MIN <= value <= INT64_MAX:
            raise ValueError("expected whole numbers of at most 64 bits")
        return 0
    if depth == DEEPEST:
        raise ValueError(f"expected at most {DEEPEST} objects and lists within each other")
    if value.__class__ is dict:
        return keys_in(value, depth + 1)
    return sum(_keys_of(item, depth + 1) for item in value if item.__class__ not in _PLAIN)


_encode = msgspec.json.Encoder().encode
_PLAIN = frozenset({str, float, bool, type(None)})
