"""The door to customers: snapshots to decide on, and changes applied as load, pure function, commit-if-version."""

from collections.abc import AsyncIterator, Callable, Mapping

import msgspec

from catalog.series import Aggregates, Series
from features.attempts import Attempts
from features.budgets import Budgets
from features.cache import UNKNOWN, Cache, Snapshot
from features.clock import ServerClock
from features.commit import HEADER, ClockOff, Commit, Committed, Moved, Outcome, Stored
from features.connection import wait
from features.customer import Customer
from features.deadline import Deadline
from features.encoding import decode, encode
from features.errors import CorruptState, MergedAway, StoreError, Uncertain
from features.ledger import Ledger
from features.merging import alias_of, is_merged

ANONYMOUS_TTL_MS = 90 * 24 * 3600 * 1000
MOST_CLOCK_ERROR_US = 250_000

Change = Callable[[Customer, int], Customer]


class ClockError(StoreError):
    """The server's clock stands before the time of this customer's last commit: nothing may be decided until then."""


class CustomerStore:
    """Customers of one worker, over a ledger shared by all."""

    def __init__(self, ledger: Ledger, cache: Cache, clock: ServerClock) -> None:
        self.ledger = ledger
        self.cache = cache
        self.clock = clock
        self.budgets = Budgets(ledger.link, ledger.layout)
        self.aggregates = Aggregates()
        self.series: Mapping[int, Series] = {}
        self._anonymous_ms = ANONYMOUS_TTL_MS

    def counts(self, aggregates: Aggregates) -> None:
        """What is kept of events is kept for these."""
        self.aggregates = aggregates
        self.series = {each.key: each for each in aggregates.series}

    def lives_ms(self, least: int) -> None:
        """Anonymous customers are to be kept for `least` milliseconds at least, as their contacts count so long."""
        self._anonymous_ms = max(ANONYMOUS_TTL_MS, least)

    def lifetime_ms(self, customer: Customer) -> int | None:
        """How long the customer's state lives if nothing follows: who is known only from our own contacts expires."""
        return self._anonymous_ms if customer.anonymous else None

    async def snapshot(self, customer_id: str, deadline: Deadline, *, fresh: bool = False) -> Snapshot:
        """The cached snapshot, which a commit will verify; `fresh` asks the ledger. Raises StoreError."""
        cached = None if fresh else self.cache.get(customer_id)
        if cached is not None and self.clock.known:
            return cached
        stored, server = await self.ledger.load(customer_id, deadline.left())
        self.clock.heard(server)
        return self.keep(customer_id, stored)

    def keep(self, customer_id: str, stored: Stored) -> Snapshot:
        """`stored`, decoded and cached. Raises CorruptState."""
        try:
            snapshot = _snapshot(stored)
        except msgspec.MsgspecError as error:
            raise CorruptState(f"the stored state of a customer can't be read: {error}") from error
        self.cache.put(customer_id, snapshot)
        return snapshot

    def now_for(self, snapshot: Snapshot) -> int:
        """The time to decide at: never before the customer's last commit. Raises ClockError."""
        now = self.clock.now()
        if snapshot.last <= now:
            return now
        if snapshot.last > now + MOST_CLOCK_ERROR_US:
            raise ClockError("the server's clock stands before this customer's last commit")
        return snapshot.last

    def at_hand(self, customer_id: str) -> Snapshot | None:
        """The cached snapshot, if one can be decided on right now."""
        return self.cache.get(customer_id) if self.clock.known else None

    async def commit(self, commit: Commit, customer: Customer, deadline: Deadline) -> tuple[Outcome, Snapshot | None]:
        """Sends `commit`, whose body encodes `customer`, and learns from the reply.

        The snapshot is what the customer is now, None when the reply doesn't say. Raises StoreError.
        """
        try:
            outcome = await self.ledger.commit(commit, deadline.left())
        except Uncertain:
            self.cache.forget(commit.customer_id)
            raise
        return outcome, self.learn(commit, customer, outcome)

    def learn(self, commit: Commit, customer: Customer, outcome: Outcome) -> Snapshot | None:
        """The snapshot that `outcome` of `commit`, whose body encodes `customer`, tells of. Raises StoreError."""
        self.clock.heard(outcome.server_us)
        if isinstance(outcome, Committed):
            if outcome.version == commit.expected:
                return None
            snapshot = Snapshot(outcome.version, outcome.last_us, commit.body or b"", customer)
            before = self.cache.peek(commit.customer_id)
            if before is not None and before.version == commit.expected:
                snapshot.follows(before)
            self.cache.put(commit.customer_id, snapshot)
            return snapshot
        if isinstance(outcome, Moved) and outcome.stored is not None:
            return self.keep(commit.customer_id, outcome.stored)
        if isinstance(outcome, ClockOff) and outcome.last_us > outcome.server_us + MOST_CLOCK_ERROR_US:
            raise ClockError("the server's clock stands before this customer's last commit")
        return None

    async def update(self, customer_id: str, change: Change, deadline: Deadline) -> Snapshot:
        """Applies `change(customer, now)` to the latest state. Raises StoreError; then nothing is acknowledged.

        MergedAway where the id stands for another customer: features.identity changes that one.
        """
        return await self._write(customer_id, deadline, change)

    async def erase(self, customer_id: str, deadline: Deadline) -> bool:
        """Deletes the customer's state, leaving a tombstone. Whether there was one. Raises StoreError."""
        existed = not await self._is_absent(customer_id, deadline)
        if existed:
            await self._write(customer_id, deadline, None)
        return existed

    async def customer_ids(self, within: float, partition: int | None = None) -> AsyncIterator[str]:
        """Every customer (of a partition) that has a state, once, in no order; none that was merged into another.

        Raises StoreError.
        """
        link, layout = self.ledger.link, self.ledger.layout
        for each in range(layout.partitions) if partition is None else (partition,):
            prefix = layout.states(each)
            cursor, seen = b"0", set()
            while True:
                cursor, keys = await link.ask("SCAN", cursor, "MATCH", prefix + "*", "COUNT", 1000, within=within)
                fresh = [key for key in keys if key not in seen]  # a scan may name a key twice
                seen.update(fresh)
                connection = await link.connection(within)
                begins = [connection.call("GETRANGE", key, HEADER, HEADER + len(_ALIAS)) for key in fresh]
                for key, begin in zip(fresh, begins, strict=True):
                    if _is_customer(await wait(begin, within)):
                        yield key.decode().removeprefix(prefix)
                if cursor == b"0":
                    break

    async def _is_absent(self, customer_id: str, deadline: Deadline) -> bool:
        snapshot = await self.snapshot(customer_id, deadline, fresh=True)
        return not snapshot.customer.known

    async def _write(self, customer_id: str, deadline: Deadline, change: Change | None) -> Snapshot:
        snapshot, attempts = await self.snapshot(customer_id, deadline), Attempts()
        while True:
            if change is not None and is_merged(snapshot.customer):
                raise MergedAway(f"{customer_id!r} was merged into another customer")
            now = self.now_for(snapshot)
            customer = Customer(erased=now) if change is None else change(snapshot.customer, now)
            commit = Commit(
                customer_id,
                snapshot.version,
                now,
                None if change is None else encode(customer),
                ttl_ms=self.lifetime_ms(customer),
                tombstone=change is None,
                ticket=attempts.ticket,
            )
            outcome, known = await self.commit(commit, customer, deadline)
            if isinstance(outcome, Committed):
                return known or snapshot
            snapshot = known or snapshot
            await attempts.lost(outcome, deadline)


_ALIAS, _, _ = encode(alias_of("?")).partition(b"\xa1?")
_STANDS_FOR_ITSELF = b"\xa0"  # an id it was merged into has a length


def _is_customer(begin: bytes) -> bool:
    """Whether this begins the state of a customer: a deleted one's tombstone has no body, an alias only another id."""
    return bool(begin) and not (begin.startswith(_ALIAS) and begin[len(_ALIAS) :] != _STANDS_FOR_ITSELF)


def _snapshot(stored: Stored) -> Snapshot:
    if not stored.version:
        return UNKNOWN
    customer = decode(stored.body) if stored.body else Customer(erased=stored.last_us)
    return Snapshot(stored.version, stored.last_us, stored.body, customer)
