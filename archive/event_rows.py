"""Rows of events: an entry of the stream holds what one commit stored of a customer, and comes to a row per event.

Within a file they lie by partition, then customer, then in the order in which they were stored, so that the statistics
of a row group say whether it may have anything of a customer. An event is told from all others by its partition, its
entry in the stream and its number there: `event_id` is the caller's, and only theirs to keep apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from archive.streams import Entry, shown
from archive.tables import LATEST_US, Spelled
from features.events import Event, EventsError, unpack_events

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("customer_id", pa.string()),
        ("event_type", pa.string()),
        ("happened_at", pa.timestamp("us", tz="UTC")),
        ("received_at", pa.timestamp("us", tz="UTC")),
        ("decision_id", pa.string()),
        ("properties", pa.string()),
        ("partition", pa.int32()),
        ("entry", pa.string()),
        ("number", pa.int32()),
    ],
    metadata={"tino.archive": "1"},
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def spelled_events(entry: Entry) -> Spelled:
    """Its day is that on which it was stored. Raises EventsError where any of it can't be spelled out."""
    if not entry.name:
        raise EventsError("this entry of the stream is none of Tino's")
    events = unpack_events(entry.body)
    if not events:
        raise EventsError("this entry of the stream has no events")
    for number, event in enumerate(events):
        _check(number, event)
    key, known = (entry.partition, entry.name, entry.id), (entry.name, shown(entry.id))
    return Spelled(key, known, events[0].received, len(events), lambda: event_rows(entry))


def event_rows(entry: Entry) -> Iterator[tuple[Any, ...]]:
    """In the order of SCHEMA. Raises EventsError."""
    partition, entry_id, customer_id = entry.partition, shown(entry.id), entry.name
    for number, event in enumerate(unpack_events(entry.body)):
        properties = _encode(event.properties).decode()
        decision_id = event.decision_id or None
        times = event.at, event.received
        yield event.id, customer_id, event.type, *times, decision_id, properties, partition, entry_id, number


def event_of(event_id: str, kind: str, at: int, received: int, decision_id: str | None, properties: str) -> Event:
    """As it was stored; `at` and `received` in microseconds since 1970."""
    return Event(event_id, kind, at, received, _decode(properties), decision_id or "")


def _check(number: int, event: Event) -> None:
    if not 0 <= event.received < LATEST_US:
        raise EventsError(f"event {number} was stored outside the years 1970 to 9998: {event.received}")
    if not _EARLIEST_US <= event.at < LATEST_US:
        raise EventsError(f"event {number} happened outside the years 1 to 9998: {event.at}")
    try:
        _encode(event.properties)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise EventsError(f"the properties of event {number} are no JSON: {error}") from None
