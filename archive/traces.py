"""Traces: where something of a customer may be, besides their state, and whose each of it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from archive.kinds import DECISIONS, EVENTS
from archive.streams import Entry, Source
from features.events import EventsError, unpack_events
from features.keys import Layout
from features.ledger import DAY_US


class _Head(msgspec.Struct, array_like=True):
    """How a record of any version begins: to tell whose it is, it need not be one that this Tino can read."""

    version: int
    id: str
    customer_id: str


class _Message(msgspec.Struct):
    customer_id: str


_head = msgspec.msgpack.Decoder(_Head).decode
_message = msgspec.json.Decoder(_Message).decode


def whose_decision(name: str, body: bytes) -> str | None:
    """Of an entry or a row in quarantine, by what its first field says and the rest; None where it can't be told."""
    try:
        return _head(body).customer_id if name else None
    except msgspec.MsgspecError:
        return None


def whose_events(name: str, body: bytes) -> str | None:
    return name or None


def whose_message(name: str, body: bytes) -> str | None:
    try:
        return _message(body).customer_id
    except msgspec.MsgspecError:
        return None


class Trace(NamedTuple):
    """A kind of stream and whose an entry of it is; None where that can't be told. See whose_decision."""

    source: Source
    whose: Callable[[str, bytes], str | None]


IN_DECISIONS = Trace(DECISIONS.source, whose_decision)
IN_EVENTS = Trace(EVENTS.source, whose_events)
IN_OUTBOX = Trace(Source(Layout.outbox, (b"m",)), whose_message)


def days_of(entry: Entry) -> list[int]:
    """The day on which each event of an entry was stored, as days since 1970; none if it can't be read."""
    try:
        return [event.received // DAY_US for event in unpack_events(entry.body)]
    except EventsError:
        return []
