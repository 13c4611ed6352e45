"""Backfill: series computed from the kept log of events, so that an aggregate declared today knows of yesterday.

A customer's series change as they always do, by a commit that compares. That what was read of the log is all that the
state has seen must hold too: the log of a partition is read first, and a customer whose state changed since then is put
off. So are those who were merged, whose events lie in several partitions. For them the state is read before the log, a
hundred at a time, again and again until nobody came between.

Done twice, or cut short and done again, it comes to the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import msgspec

from archive.events import EventLog
from catalog.plan import Plan
from features.backfilling import filled, told
from features.cache import Snapshot
from features.commit import Commit, Committed
from features.customer import Customer
from features.deadline import Deadline
from features.encoding import encode
from features.errors import StoreError
from features.events import Event
from features.identity import root_of
from features.store import CustomerStore

AT_ONCE = 100
ROUNDS = 20
WITHIN = 30.0
_CLOCKS_US = 1_000_000  # by how much, at most, two of them may differ
_NO_EVENTS: list[Event] = []


class Filled(msgspec.Struct):
    """What was done. `changed` of the `customers` have other series now; `oldest` is when the first of the events was
    stored, in microseconds, None where there is none; `misfits` have a property that is not of its declared type.
    """

    customers: int = 0
    changed: int = 0
    events: int = 0
    misfits: int = 0
    oldest: int | None = None


class BusyCustomersError(StoreError):
    """Some customers changed whenever they were looked at."""


class Backfill:
    """`data` has the archive, None for none. `chosen` are the keys of the series to fill in, None for all; then those
    that the plan doesn't know go. `anew` forgets what the log doesn't tell.
    """

    def __init__(
        self, store: CustomerStore, plan: Plan, data: Path | None, chosen: Collection[int] | None, *, anew: bool = False
    ) -> None:
        store.lives_ms(plan.lifetime_ms)
        store.counts(plan.aggregates)
        self._store = store
        self._plan = plan
        self._log = EventLog(store.ledger, data)
        self._chosen = chosen
        self._anew = anew
        self._later: set[str] = set()
        self.filled = Filled()

    async def run(self, done: Callable[[], None]) -> Filled:
        """Everybody; `done` is called after each partition. Raises StoreError, OSError."""
        for partition in range(self._store.ledger.layout.partitions):
            await self._partition(partition)
            done()
        for _ in range(ROUNDS):
            names, self._later = sorted(self._later), set()
            for start in range(0, len(names), AT_ONCE):
                await self._one_by_one(names[start : start + AT_ONCE])
            if not self._later:
                return self.filled
        raise BusyCustomersError(
            f"{len(self._later)} customers changed whenever they were looked at; all others are done: do it again"
        )

    async def _partition(self, partition: int) -> None:
        since = self._store.clock.now() - _CLOCKS_US
        seen: set[str] = set()
        group: list[tuple[str, list[Event]]] = []
        async for customer in self._log.by_customer(partition):
            seen.add(customer[0])
            group.append(customer)
            if len(group) == AT_ONCE:
                await self._group(group, since)
                group = []
        async for name in self._store.customer_ids(WITHIN, partition):
            if name not in seen:
                group.append((name, _NO_EVENTS))
                if len(group) >= AT_ONCE:
                    await self._group(group, since)
                    group = []
        await self._group(group, since)

    async def _group(self, group: Iterable[tuple[str, list[Event]]], since: int) -> None:
        await asyncio.gather(*(self._unchanged(name, events, since) for name, events in group))

    async def _unchanged(self, name: str, events: list[Event], since: int) -> None:
        """Fills in who was not changed since, else puts them off."""
        snapshot = await self._store.snapshot(name, Deadline(WITHIN), fresh=True)
        stands = snapshot.customer.identity is None and snapshot.last < since
        if not stands or not await self._fill(name, snapshot, events):
            self._later.add(name)

    async def _one_by_one(self, names: list[str]) -> None:
        deadline = Deadline(WITHIN)
        found = dict(await asyncio.gather(*(root_of(self._store, name, deadline, fresh=True) for name in names)))
        ids = {root: _ids(root, snapshot.customer) for root, snapshot in found.items()}
        events = await self._log.events_of(set().union(*ids.values()))
        for root, snapshot in found.items():
            if not await self._fill(root, snapshot, _once(events[name] for name in ids[root])):
                self._later.add(root)

    async def _fill(self, customer_id: str, snapshot: Snapshot, events: list[Event]) -> bool:
        """Whether the customer still was as in `snapshot`. Raises StoreError."""
        customer, now = snapshot.customer, self._store.now_for(snapshot)
        # Of merged customers only some may have been erased: what was, is gone from the log of that id as well.
        since = customer.erased if customer.identity is None else 0
        log = told(self._plan.aggregates, events, since, now)
        after = filled(customer, self._plan.aggregates, log, self._chosen, now, anew=self._anew)
        if after is not customer:
            lives = self._store.lifetime_ms(after)
            commit = Commit(customer_id, snapshot.version, now, encode(after), ttl_ms=lives)
            outcome, _ = await self._store.commit(commit, after, Deadline(WITHIN))
            if not isinstance(outcome, Committed):
                return False
        self._count(after is not customer, events, log.misfits)
        return True

    def _count(self, changed: bool, events: list[Event], misfits: int) -> None:
        tally = self.filled
        tally.customers += 1
        tally.changed += changed
        tally.events += len(events)
        tally.misfits += misfits
        if events:
            oldest = min(event.received for event in events)
            tally.oldest = oldest if tally.oldest is None else min(tally.oldest, oldest)


def _ids(root: str, customer: Customer) -> set[str]:
    """All that their events may be logged under."""
    return {root, *(customer.identity.merged if customer.identity is not None else ())}


def _once(logs: Iterable[list[Event]]) -> list[Event]:
    """Of an event that was sent to several of them, one."""
    found: list[Event] = []
    seen: set[str] = set()
    for events in logs:
        found += [event for event in events if event.id not in seen]
        seen.update(event.id for event in events)
    return found
