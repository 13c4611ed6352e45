"""A commit and what can come of it. How it travels to `commit.lua` and back, as pure functions.

What a state looks like in Redis is written down in `commit.lua`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from features.errors import CorruptState

EVENT_IDS_S = 24 * 3600  # for how long, at least, the ids of events are kept: a day is begun anew, the one before stays
REQUEST_KEPT_US = 24 * 3600 * 1_000_000  # for how long it is known what was answered
TOMBSTONE_MS = 30 * 24 * 3600 * 1000
HEADER = 32
_VERSION = 16

# Msgpack by hand, as its parts are at hand: 0x9a begins an array of ten, 0x9c one of twelve, with events, 0x9d one of
# thirteen, with budgets; 0xd3 a 64-bit number, 0xdd an array and 0xdb a string of the length that follows (0xb0 one of
# 16 bytes); a string whatever the bytes, for the msgpack inside Redis 6.2 knows no other kind; 0xc0 is nothing.
_numbers = struct.Struct(">BBqBq").pack
_ttl_and_length = struct.Struct(">BqBI").pack
_length = struct.Struct(">BI").pack
_NO_EVENTS = b"\xc0\xc0"


@dataclass(frozen=True, slots=True)
class Stored:
    """A customer's state as it stands in Redis."""

    version: bytes
    """Compared whole. b"" if there is no such key."""
    last_us: int
    """Service time of the last commit, microseconds since 1970; 0 if absent."""
    body: bytes
    """b"" if absent or deleted."""


ABSENT = Stored(b"", 0, b"")


@dataclass(slots=True)
class Commit:
    """What one decision, or one event, wants to be true of a customer."""

    customer_id: str
    expected: bytes
    """The version it was decided on; b"" for an absent customer."""
    now_us: int
    """The service time it was decided at, microseconds since 1970."""
    body: bytes | None
    """The new state, not empty. None leaves state and version as they are; the version is compared all the same."""
    ttl_ms: int | None = None
    """How long the state lives if nothing follows; None keeps it for ever."""
    tombstone: bool = False
    """Delete the customer: `body` must be None. The mark stays 30 days, so that no old copy is taken for current."""
    request: tuple[bytes, bytes] | None = None
    """Digest of the request id, hash of the request's body."""
    decision_id: str | None = None
    record: bytes | None = None
    outbox: Sequence[bytes] = ()
    ticket: bytes | None = None
    """Ask for the right of way, by a token of one's own, after losing several times."""
    ids: Sequence[bytes] = ()
    """Digests of the ids of events, 16 bytes each: written only if none of them was seen before; see EVENT_IDS_S."""
    events: bytes = b""
    """What goes into the stream of events, as features.events packs it; b"" where `ids` alone are to be marked."""
    takes: Sequence[tuple[str, int]] = ()
    """Of which budgets how much, from 1 to 127, is taken: the key of the budget's period, each once."""


@dataclass(slots=True)
class Committed:
    """Written. `version` and `last_us` are those of the state now."""

    version: bytes
    server_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Moved:
    """Not written: decide again on `stored`, None where the state is still the one expected.

    If `held_ms` is above 0, another holds the ticket for that long still.
    """

    stored: Stored | None
    server_us: int
    held_ms: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """Not written: this request id was answered before. `record` is None if there was none or it was archived."""

    body_hash: bytes
    decision_id: str | None
    record: bytes | None
    server_us: int


@dataclass(frozen=True, slots=True)
class Known:
    """Not written: some of the events have been stored before. `places` are theirs in `Commit.ids`."""

    places: tuple[int, ...]
    server_us: int


@dataclass(frozen=True, slots=True)
class Short:
    """Not written: the customer's partition has too little of some budget. `left` is what it has, as `Commit.takes`."""

    left: tuple[int, ...]
    server_us: int


@dataclass(frozen=True, slots=True)
class ClockOff:
    """Not written: `now_us` was more than 250 ms off the server's time, or before the state's last commit."""

    server_us: int
    last_us: int


Outcome = Committed | Moved | Repeated | Known | Short | ClockOff


def next_version(expected: bytes, random: bytes) -> bytes:
    """The counter one up, with 8 new random bytes: a counter alone would repeat after a lost timeline."""
    return (int.from_bytes(expected[:8]) + 1).to_bytes(8) + random


def pack(commit: Commit, version: bytes, clock_offset_us: int) -> bytes:
    """The script's argument. `version` is what the state gets if the commit writes one. Raises ValueError."""
    writes = commit.tombstone or commit.body is not None
    if commit.body == b"" or (commit.tombstone and commit.body is not None):
        raise ValueError("a body is not empty, and a tombstone has none")
    state = b"%b%016d%b" % (version, commit.now_us, commit.body or b"") if writes else b""
    ttl_ms = TOMBSTONE_MS if commit.tombstone else commit.ttl_ms or 0
    body_hash = commit.request[1] if commit.request else b""
    ticket, decision_id, record = commit.ticket or b"", (commit.decision_id or "").encode(), commit.record or b""
    expected, outbox = commit.expected, commit.outbox
    length = 0x9C if commit.ids else 0x9A
    if commit.takes:
        length = 0x9D
    return b"".join(
        (
            _numbers(length, 0xD3, clock_offset_us, 0xD3, commit.now_us),
            _length(0xDB, len(expected)),
            expected,
            _length(0xDB, len(state)),
            state,
            _ttl_and_length(0xD3, ttl_ms, 0xDB, len(ticket)),
            ticket,
            _length(0xDB, len(body_hash)),
            body_hash,
            _length(0xDB, len(decision_id)),
            decision_id,
            _length(0xDB, len(record)),
            record,
            _length(0xDD, len(outbox)),
            *(part for entry in outbox for part in (_length(0xDB, len(entry)), entry)),
            *(_events(commit) if commit.ids else ()),
            *(_takes(commit) if commit.takes else ()),
        )
    )


def _events(commit: Commit) -> tuple[bytes, ...]:
    ids = [part for digest in commit.ids for part in (b"\xb0", digest)]
    return _length(0xDD, len(commit.ids)), *ids, _length(0xDB, len(commit.events)), commit.events


def _takes(commit: Commit) -> tuple[bytes, ...]:
    counts = bytes(count for _, count in commit.takes)
    return b"" if commit.ids else _NO_EVENTS, _length(0xDD, len(counts)), counts


def unpack(reply: list[Any], commit: Commit, version: bytes) -> Outcome:
    """The outcome in the script's reply. Raises CorruptState."""
    kind, server_us = reply[0], reply[1]
    if kind == b"committed":
        writes = commit.tombstone or commit.body is not None
        return Committed(version if writes else commit.expected, server_us, reply[2])
    if kind == b"moved":
        return Moved(None if reply[2] == b"" else read_state(reply[2]), server_us, reply[3])
    if kind == b"repeated":
        return Repeated(reply[2], reply[3].decode() or None, reply[4], server_us)
    if kind == b"known":
        return Known(tuple(place - 1 for place in reply[2]), server_us)
    if kind == b"short":
        return Short(tuple(reply[2]), server_us)
    return ClockOff(server_us, reply[2])


def read_state(raw: bytes | None) -> Stored:
    """Raises CorruptState."""
    if raw is None:
        return ABSENT
    if len(raw) < HEADER or not raw[_VERSION:HEADER].isdigit():
        raise CorruptState("a customer's state has no version and time")
    return Stored(raw[:_VERSION], int(raw[_VERSION:HEADER]), raw[HEADER:])
