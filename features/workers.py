"""The workers that serve from one Redis: who is there, which catalog each decides by, and how long it may.

Each worker enters itself in a hash, with a time until which the entry counts, and renews it. Whoever changes the
catalog waits for all whose time is not over. The other side of this is the *lease*: a worker whose own time is over
(it was frozen, or cut off from Redis) is waited for by nobody, so it may not decide until it has entered itself again
and *then* seen which catalog is in force. In this order nothing slips through: if the pointer moves before the worker
looks, the worker sees it; if after, the mover sees the worker. Redis counts the time from when the entry arrives and
the worker from when it was sent, and gives up a little early, so the lease ends before the entry. The lease counts the
time in which the machine slept (features.elapsed), and is broken off where the server's clock turns out to be further
ahead than expected: then either this machine stood still, its clocks with it, or that clock was set, and entries have
run out before their time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from features.cache import Cache, Snapshot
from features.catalogs import WITHIN, Pointer
from features.clock import ServerClock
from features.elapsed import elapsed
from features.errors import NotConnected
from features.keys import WORKERS
from features.ledger import Ledger
from features.link import Link
from features.store import CustomerStore

ENTRY_MS = 5000
LOOK_EVERY, ENTER_EVERY = 0.2, 1.0  # seconds: from look to look at the pointer, and from entry to entry
LEASE_SECONDS = 4.0  # a second less, for clocks that run at other speeds and commits that are under way

_ENTER = """
local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]
return redis.call('HSET', KEYS[1], ARGV[1], string.format('%d', till) .. ' ' .. ARGV[3])
"""
_WHO_IS_THERE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local all, there = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^%d+')) < now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    there[#there + 1] = all[i]
    there[#there + 1] = string.match(all[i + 1], ' (.*)')
  end
end
return there
"""


class LeaseOver(NotConnected):
    """Nothing was sent: this worker doesn't know which catalog is in force."""


class Entry(msgspec.Struct, frozen=True):
    """What a worker says of itself: the move of the pointer that it has followed, and the one it can't, with why."""

    epoch: int
    digest: str
    refused: int = 0
    reason: str = ""

    @property
    def pointer(self) -> Pointer:
        return Pointer(self.epoch, self.digest)


@dataclass(frozen=True, slots=True)
class Present:
    """A worker that is there; `name` says where it runs."""

    name: str
    entry: Entry


class Workers:
    """Every method raises StoreError."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def enter(self, name: str, entry: Entry) -> None:
        """Enters, or renews, a worker for the next five seconds."""
        await self._link.ask("EVAL", _ENTER, 1, WORKERS, name, ENTRY_MS, msgspec.json.encode(entry), within=WITHIN)

    async def leave(self, name: str) -> None:
        await self._link.ask("HDEL", WORKERS, name, within=WITHIN)

    async def present(self) -> list[Present]:
        """By name. Those whose time is over are struck out."""
        found = await self._link.ask("EVAL", _WHO_IS_THERE, 1, WORKERS, within=WITHIN)
        return sorted(_read(found), key=lambda worker: worker.name)


def _read(found: list[bytes]) -> Iterator[Present]:
    for name, entry in zip(found[::2], found[1::2], strict=True):
        yield Present(name.decode(), msgspec.json.decode(entry, type=Entry))


class Lease:
    """Until when a worker may assume that the catalog it decides by is in force; over at first."""

    __slots__ = ("_broken_off", "_ends", "_time")

    def __init__(self, time: Callable[[], float] = elapsed) -> None:
        self._time = time
        self._ends = self._broken_off = time()

    @property
    def over(self) -> bool:
        return self._time() >= self._ends

    def now(self) -> float:
        return self._time()

    def renew(self, sent: float) -> None:
        """`sent` is when the entry was sent that renews it: to no avail where it has been broken off since."""
        if sent >= self._broken_off:
            self._ends = sent + LEASE_SECONDS

    def break_off(self) -> None:
        """It is over now, whatever was sent before."""
        self._ends = self._broken_off = self._time()


class LeasedStore(CustomerStore):
    """A store that nothing is decided or changed on while the worker's lease is over."""

    def __init__(self, ledger: Ledger, cache: Cache, clock: ServerClock, lease: Lease) -> None:
        super().__init__(ledger, cache, clock)
        self._lease = lease
        clock.on_step(lease.break_off)

    def now_for(self, snapshot: Snapshot) -> int:
        """Raises ClockError, LeaseOver. Every commit asks for its time just before it is sent."""
        if self._lease.over:
            raise LeaseOver("this worker has not heard for a while which catalog is in force")
        return super().now_for(snapshot)
