"""The outbox, as deliverers see it: entries are taken for a while, put off, or done with.

An entry stays in its stream until it is done with, and is the only place that says what is to be sent: so erasing a
customer is erasing it there. When somebody is to look at it next is noted beside the stream, by its id, in a sorted
set: while a deliverer has it, that is the end of a lease; while it is held or to be tried again, the moment for that.
Every step is one script or one command, so an entry is at every moment either new (behind the mark of the consumer
group), or noted, or gone:

    take      new ──► noted, for the lease          noted and due ──► noted, for the lease
    put off   noted ──► noted, for another time
    done      noted ──► gone, and only now it leaves the stream

Whoever dies with entries in hand leaves them to others when the lease has run out. One who was only slow may then find
that another has done with it: to be done with twice, or to put off what is gone, changes nothing.

Given up: the consumer group's own list of what is pending. It knows how long an entry has been idle, not when it is
due, and so would have to be looked through for what is held; a second list would still be needed, and the two kept
together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from features.ledger import Ledger
from features.rights import check_rights

TAKE = Path(__file__).with_name("take.lua").read_bytes()
RIGHTS = Path(__file__).with_name("rights.lua").read_bytes()
KINDS = ("string", "stream", "sorted")
LEASE_S = 60.0
MOST = 50  # entries of a partition at once
PAGE = 500
WITHIN = 5.0

# Both or neither: a note without its entry would be looked for, an entry without a note never again.
_DONE = "redis.call('XDEL', KEYS[1], ARGV[1]) return redis.call('ZREM', KEYS[2], ARGV[1])"


class Taken(NamedTuple):
    """An entry in hand: `id` within its partition's stream, `body` what it holds, b"" where it is none of ours."""

    partition: int
    id: bytes
    body: bytes

    @property
    def place(self) -> tuple[int, int]:
        """Of two entries of a partition the one with the lesser was written first."""
        ms, _, number = self.id.partition(b"-")
        return int(ms), int(number)


def _taken(partition: int, entry: bytes, fields: list[bytes]) -> Taken:
    return Taken(partition, entry, fields[1] if fields[::2] == [b"m"] else b"")


class Outbox:
    """Every method raises StoreError. `lease` is in seconds."""

    def __init__(self, ledger: Ledger, lease: float = LEASE_S) -> None:
        self._ledger = ledger
        self.lease = lease
        self.partitions = ledger.layout.partitions

    async def check_rights(self) -> None:
        """Raises AuthRefused where Redis refuses what is called here: one step of a script without the next would leave
        entries that nobody finds again.
        """
        await check_rights(self._ledger.link, WITHIN, RIGHTS, KINDS)

    async def take(self, partition: int, most: int = MOST) -> tuple[int, list[Taken]]:
        """The service's time in microseconds, and entries in the order in which they were written."""
        offset, lease_us = self._ledger.clock_offset_us, int(self.lease * 1_000_000)
        keys = self._keys(partition)
        now, found = await self._ledger.link.ask("EVAL", TAKE, 2, *keys, offset, lease_us, most, within=WITHIN)
        taken = (_taken(partition, entry, fields) for entry, fields in found)
        return now, sorted(taken, key=lambda each: each.place)

    async def entries(self, partition: int) -> AsyncIterator[tuple[Taken, int | None]]:
        """All that are there, none of them taken by this; each with when it is looked at next, None where it is new."""
        stream, notes = self._keys(partition)
        start = "-"
        while page := await self._ledger.link.ask("XRANGE", stream, start, "+", "COUNT", PAGE, within=WITHIN):
            ids = [entry for entry, _ in page]
            noted = await self._ledger.link.ask("ZMSCORE", notes, *ids, within=WITHIN)
            for (entry, fields), until in zip(page, noted, strict=True):
                yield _taken(partition, entry, fields), None if until is None else int(float(until))
            start = f"({ids[-1].decode()}"

    async def put_off(self, taken: Taken, until: int) -> None:
        """Nobody looks at it before `until`, microseconds of the service's time."""
        _, notes = self._keys(taken.partition)
        await self._ledger.link.ask("ZADD", notes, "XX", until, taken.id, within=WITHIN)

    async def done(self, taken: Taken) -> None:
        await self._ledger.link.ask("EVAL", _DONE, 2, *self._keys(taken.partition), taken.id, within=WITHIN)

    def _keys(self, partition: int) -> tuple[str, str]:
        return self._ledger.layout.outbox(partition), self._ledger.layout.sending(partition)
