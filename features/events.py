"""Events: what has happened to customers, and how it stands in the stream beside them.

An entry of `tino:{<p>}:events` has two fields: `c`, the customer's id, and `e`, their events of one commit, as msgpack
behind a byte that says whether it is deflated: many events of one customer repeat themselves a lot.
"""

import zlib
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

DEFLATED_FROM = 1024  # bytes
_PLAIN, _DEFLATED = b"\x00", b"\x01"


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event. `at` is when it happened, `received` when it was stored (service time, microseconds since 1970).

    `properties` are as they were sent, as far as JSON goes. `decision_id` is that of the decision it answers, or "".
    """

    id: str
    type: str
    at: int
    received: int
    properties: dict[str, Any] = {}
    decision_id: str = ""


class EventsError(ValueError):
    """Bytes that are no events."""


NO_MORE = frozenset({"unsubscribed", "complained"})
"""The types that take a consent back."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Event, ...]).decode


def digest(name: str) -> bytes:
    """What tells this name from others, 16 bytes."""
    return blake2b(name.encode(), digest_size=16).digest()


def known_as(kind: str, event_id: str) -> str:
    """The name by which an event of type `kind` is known to have been stored: its id.

    One that takes a consent back is told from another of its id by its type too: whoever gives a message's id to all
    that comes of it has not been heard saying no before. An id has no line break in it.
    """
    return f"{event_id}\n{kind}" if kind in NO_MORE else event_id


def pack_events(events: Sequence[Event]) -> bytes:
    packed = _encode(events)
    return _PLAIN + packed if len(packed) < DEFLATED_FROM else _DEFLATED + zlib.compress(packed, 1)


def unpack_events(packed: bytes) -> tuple[Event, ...]:
    """Raises EventsError."""
    try:
        return _decode(zlib.decompress(packed[1:]) if packed[:1] == _DEFLATED else packed[1:])
    except (msgspec.MsgspecError, zlib.error) as error:
        raise EventsError(f"this is no entry of events: {error}") from None
