"""Forgetting: a customer is erased under every id that stands for them, from state and records.

1. blank     with one commit all that is known of them is gone, but for what they refused and the ids of theirs
2. note      when that was, what was refused and where answers lie, under a hash of each id (features.suppression)
3. records   are erased, under all these ids
4. aliases   a tombstone for each but the one that was asked for
5. bury      a tombstone for the customer, unless something was written since 1: then once more, as there are records
             of it; and at last for the alias that was asked for

Killed between any two, to ask again by the same id does the rest: it leads to the others until they are gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Generic, NamedTuple, TypeVar

from features.cache import Snapshot
from features.commit import Commit, Committed
from features.customer import Customer, Identity
from features.deadline import Deadline
from features.errors import MergedAway
from features.identity import root_of
from features.merging import is_merged, merged_ids
from features.store import CustomerStore
from features.suppression import suppress, suppression_for

R = TypeVar("R")
TURNS = 5  # after that the tombstone comes whatever was written

Step = Callable[[str], None]
"""Told the name of each step before it is taken."""


class Forgotten(NamedTuple, Generic[R]):
    """`ids` stood for them, the one they were kept under first. `known` says whether there was anything under it.
    `records` is what `erase_records` gave, once for each turn that it took.
    """

    ids: tuple[str, ...]
    known: bool
    records: list[R]


def _unwatched(step: str) -> None:
    pass


async def forget(
    store: CustomerStore,
    customer_id: str,
    deadline: Callable[[], Deadline],
    erase_records: Callable[[Collection[str]], Awaitable[R]],
    step: Step = _unwatched,
) -> Forgotten[R]:
    """Erases whom `customer_id` stands for; `erase_records` does so with what is recorded of the ids it is given.

    `deadline` makes that of a step. Raises StoreError, and what `erase_records` raises: then to be asked again.
    """
    ids: dict[str, None] = {}
    records: list[R] = []
    known = False
    for turn in range(TURNS):
        root, snapshot = await root_of(store, customer_id, deadline(), fresh=True)
        if snapshot.body:
            step("blank")
            try:
                snapshot = await store.update(root, _blank, deadline())
            except MergedAway:
                continue
            known = True
        ids |= dict.fromkeys((root, *merged_ids(snapshot.customer), customer_id))
        if snapshot.body:
            step("note")
            answered = map(store.ledger.layout.partition, ids)
            suppression = suppression_for(snapshot.customer, snapshot.customer.erased, answered)
            await suppress(store.ledger, ids, suppression, deadline())
        step("records")
        records.append(await erase_records(tuple(ids)))
        for alias in ids:
            if alias not in (root, customer_id):
                step("aliases")
                await _erase_alias(store, alias, deadline)
        step("bury")
        last = turn == TURNS - 1
        if (not snapshot.body or await _buried(store, root, snapshot, deadline(), anyway=last)) and not last:
            break
    else:
        # They write faster than they are erased: they are gone now, and what came between goes after them.
        step("records")
        records.append(await erase_records(tuple(ids) or (customer_id,)))
    step("last alias")
    await _erase_alias(store, customer_id, deadline)
    return Forgotten(tuple(ids), known, records)


def _blank(customer: Customer, now: int) -> Customer:
    refused = {purpose: told for purpose, told in customer.consents.items() if not told.granted}
    ids = merged_ids(customer)
    return Customer(consents=refused, erased=now, identity=Identity("", ids) if ids else None)


async def _buried(store: CustomerStore, root: str, blank: Snapshot, deadline: Deadline, *, anyway: bool) -> bool:
    """Whether there is a tombstone now; if not `anyway`, only of a customer who is still as blank as they were."""
    if anyway:
        return await store.erase(root, deadline)
    commit = Commit(root, blank.version, store.now_for(blank), None, tombstone=True)
    outcome, _ = await store.commit(commit, Customer(erased=commit.now_us), deadline)
    return isinstance(outcome, Committed)


async def _erase_alias(store: CustomerStore, alias: str, deadline: Callable[[], Deadline]) -> None:
    snapshot = await store.snapshot(alias, deadline(), fresh=True)
    if is_merged(snapshot.customer):
        await store.erase(alias, deadline())
