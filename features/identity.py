"""Identity: which customer an id stands for, and how two customers become one.

They lie in different partitions, so no one commit can touch both. Three commits do it, each of which compares:

1. freeze   the source says whom it goes to, its content still there. From here on nothing but 2 may come of it: every
            commit that was under way finds it changed.
2. absorb   the target takes the source's content in and notes its id, which is the mark that it has: what is noted is
            not taken again. The ids of the source's events of today and yesterday become the target's. An event that
            both had been sent is known there: what it added to sums is taken out of the source's first.
3. clear    of the source only its new id is left: an alias.

Whoever comes upon a frozen source does the rest, be it a decision, an event or another merge: so a crash between any
two steps only leaves work to the next request. Of a row of frozen ones the last is absorbed first, so that content
never moves past its own. Before every absorb the source is read once more after the target: both stood so together.

Merges that contradict each other (A into B, B into A) may freeze a ring, and then nobody absorbs. Whoever sees a ring
thaws the frozen one with the smallest id, the others go into it, and those who asked find both merged.

A request that comes by an alias reads it afresh each time (it may have been erased since); the customer's own commit
compares as ever. An alias that leads to an alias is made to lead to the end.
"""

from __future__ import annotations

from typing import NamedTuple

from features.absorbing import Step, complete, thaw, write
from features.attempts import Attempts
from features.cache import Snapshot
from features.commit import Committed
from features.customer import Customer
from features.deadline import Deadline
from features.errors import MergedAway
from features.merging import alias_of, frozen, is_frozen, is_merged, merged_ids
from features.store import Change, CustomerStore
from features.suppression import Suppression, restored, suppression_of

MOST_MERGED = 100


class TooManyIdsError(ValueError):
    """One customer may have been merged from at most MOST_MERGED others."""


class Merge(NamedTuple):
    """`customer_id` is whom both ids stand for, `snapshot` the customer; `changed` is False where they did before."""

    customer_id: str
    snapshot: Snapshot
    changed: bool


def _unwatched(step: str) -> None:
    pass


async def root_of(
    store: CustomerStore, customer_id: str, deadline: Deadline, *, fresh: bool = False, step: Step = _unwatched
) -> tuple[str, Snapshot]:
    """Whom `customer_id` stands for, once every merge on the way is complete. Raises StoreError.

    The snapshot may be a cached one, which a commit will verify, unless it is to be `fresh`.
    """
    snapshot = await store.snapshot(customer_id, deadline, fresh=fresh)
    while is_merged(snapshot.customer):
        way = await _way(store, customer_id, deadline, fresh)
        *before, (last_id, last) = way.items()
        unfinished = [each for each in before if is_frozen(each[1].customer)]
        if is_merged(last.customer):
            await thaw(store, way, deadline)
        elif unfinished:
            await complete(store, unfinished[-1], (last_id, last), deadline, step)
        else:
            if len(before) > 1:
                await write(store, customer_id, before[0][1], alias_of(last_id), deadline)
            return last_id, last
    return customer_id, snapshot


async def merge(
    store: CustomerStore, source_id: str, into_id: str, deadline: Deadline, step: Step = _unwatched
) -> Merge:
    """Makes both ids stand for one customer: whom `into_id` stands for, unless others contradict at the same time.

    An id never heard of becomes an alias too, so that what comes by it later lands right. To do it again is harmless.
    Raises TooManyIdsError, StoreError: then it may be half done, and whoever needs it, or repeats it, completes it.
    """
    changed = False
    while True:
        into, target = await root_of(store, into_id, deadline, fresh=True, step=step)
        old, source = await root_of(store, source_id, deadline, fresh=True, step=step)
        if old == into:
            return Merge(into, source, changed)
        ids = {*merged_ids(target.customer), *merged_ids(source.customer), old}
        if len(ids) > MOST_MERGED:
            raise TooManyIdsError(f"{into!r} would be merged from {len(ids)} others; at most {MOST_MERGED} are allowed")
        for customer_id, snapshot in ((into, target), (old, source)):
            await remember(store, customer_id, snapshot, deadline)
        step("freezing")
        changed |= await _freeze(store, old, source, into, deadline)
        step("frozen")


async def update(store: CustomerStore, customer_id: str, change: Change, deadline: Deadline) -> tuple[str, Snapshot]:
    """Applies `change(customer, now)` to the latest state of whom the id stands for. Raises StoreError."""
    while True:
        root, snapshot = await root_of(store, customer_id, deadline)
        before = await _before(store, root, snapshot, deadline)
        try:
            return root, await store.update(root, _on_what_was_kept(change, snapshot.customer, before), deadline)
        except (MergedAway, _ErasedMeanwhileError):
            continue


async def remember(store: CustomerStore, customer_id: str, snapshot: Snapshot, deadline: Deadline) -> bool:
    """Gives back to the customer what was kept when they were erased, for who is about to state something of them in
    another way than by `update`. False, and nothing has happened, where there is nothing they don't have. Raises
    StoreError.
    """
    before = await _before(store, customer_id, snapshot, deadline)
    if before is None or restored(snapshot.customer, before) == snapshot.customer:
        return False
    await update(store, customer_id, lambda customer, now: customer, deadline)
    return True


class _ErasedMeanwhileError(Exception):
    """What was kept of them has to be looked at first."""


async def _before(store: CustomerStore, customer_id: str, snapshot: Snapshot, deadline: Deadline) -> Suppression | None:
    """What was kept of a customer who had been erased, if nothing was stated of them since."""
    return await suppression_of(store.ledger, customer_id, deadline) if snapshot.customer.anonymous else None


def _on_what_was_kept(change: Change, known: Customer, before: Suppression | None) -> Change:
    """`change`, made to who comes back after being erased; `before` is what was kept of them when they were `known`."""

    def changed(customer: Customer, now: int) -> Customer:
        if customer.anonymous and (not known.anonymous or customer.erased > known.erased):
            raise _ErasedMeanwhileError
        return change(customer if before is None else restored(customer, before), now)

    return changed


async def _way(store: CustomerStore, customer_id: str, deadline: Deadline, fresh: bool) -> dict[str, Snapshot]:
    """From `customer_id` to whom it stands for, or once around a ring. All are fresh but, perhaps, who is merged into
    nobody.
    """
    way: dict[str, Snapshot] = {}
    while customer_id not in way:
        snapshot = await store.snapshot(customer_id, deadline, fresh=fresh)
        if not fresh and is_merged(snapshot.customer):
            snapshot = await store.snapshot(customer_id, deadline, fresh=True)
        way[customer_id] = snapshot
        identity = snapshot.customer.identity
        if identity is None or not identity.into:
            break
        customer_id = identity.into
    return way


async def _freeze(store: CustomerStore, customer_id: str, snapshot: Snapshot, into: str, deadline: Deadline) -> bool:
    """False where it turns out to have been merged by another."""
    attempts = Attempts()
    while not is_merged(snapshot.customer):
        customer = frozen(snapshot.customer, customer_id, into)
        outcome, known = await write(store, customer_id, snapshot, customer, deadline, attempts.ticket)
        if isinstance(outcome, Committed):
            return True
        snapshot = known or snapshot
        await attempts.lost(outcome, deadline)
    return False
