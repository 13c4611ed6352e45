"""Absorbing: what a frozen customer holds goes to whom they are merged into. How it all fits: features.identity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from features.attempts import Attempts
from features.cache import Snapshot
from features.commit import Commit, Committed, Known, Outcome
from features.customer import Customer
from features.deadline import Deadline
from features.encoding import encode
from features.errors import CorruptState
from features.events import Event
from features.merging import Profile, alias_of, is_frozen, is_merged, merged_ids, thawed, united, without_events
from features.seen import seen_events, seen_ids
from features.store import CustomerStore

Step = Callable[[str], None]
"""Told the name of each step before it is taken and after it was."""


async def thaw(store: CustomerStore, way: dict[str, Snapshot], deadline: Deadline) -> None:
    """Lets the smallest of those that go round in a ring stand for itself again."""
    *_, last = way.values()
    first = last.customer.identity.into if last.customer.identity else ""
    ids = list(way)
    ring = [each for each in ids[ids.index(first) :] if is_frozen(way[each].customer)]
    if not ring:
        raise CorruptState(f"the ids {', '.join(ids)} were merged in a ring, and none of them is a customer")
    await write(store, min(ring), way[min(ring)], thawed(way[min(ring)].customer, min(ring)), deadline)


async def complete(
    store: CustomerStore, source: tuple[str, Snapshot], target: tuple[str, Snapshot], deadline: Deadline, step: Step
) -> None:
    """Absorbs and clears; or doesn't, where one of both has changed meanwhile: then who asked looks again."""
    source_id, snapshot = source
    step("absorbing")
    if await _absorb(store, source_id, snapshot, target, deadline):
        step("absorbed")
        await write(store, source_id, snapshot, alias_of(target[0]), deadline)
        step("cleared")


async def _absorb(
    store: CustomerStore, source_id: str, source: Snapshot, target: tuple[str, Snapshot], deadline: Deadline
) -> bool:
    """Whether the target has the source's content now."""
    (target_id, snapshot), attempts = target, Attempts()
    content, twice = source.customer, list[bytes]()
    ids = await seen_ids(store.ledger, source_id, store.now_for(snapshot), deadline)
    while source_id not in merged_ids(snapshot.customer):
        again = await store.snapshot(source_id, deadline, fresh=True)
        if again.version != source.version or is_merged(snapshot.customer):
            return False
        customer = united(Profile(target_id, snapshot.customer), Profile(source_id, content), store.series)
        outcome, known = await write(store, target_id, snapshot, customer, deadline, attempts.ticket, ids)
        if isinstance(outcome, Committed):
            return True
        if isinstance(outcome, Known):
            twice += [ids[place] for place in set(outcome.places)]
            ids = [each for each in ids if each not in twice]
            events = await _sent_to_both(store, (source_id, source), (target_id, snapshot), twice, deadline)
            content = without_events(source.customer, events, store.aggregates, snapshot.customer)
            continue
        snapshot = known or snapshot
        await attempts.lost(outcome, deadline)
    return True


async def _sent_to_both(
    store: CustomerStore,
    source: tuple[str, Snapshot],
    target: tuple[str, Snapshot],
    digests: list[bytes],
    deadline: Deadline,
) -> list[Event]:
    ids = dict.fromkeys(each for own, snapshot in (source, target) for each in (own, *merged_ids(snapshot.customer)))
    return await seen_events(store.ledger, ids, digests, store.now_for(target[1]), deadline)


async def write(
    store: CustomerStore,
    customer_id: str,
    snapshot: Snapshot,
    customer: Customer,
    deadline: Deadline,
    ticket: bytes | None = None,
    ids: Sequence[bytes] = (),
) -> tuple[Outcome, Snapshot | None]:
    """Tries to, once."""
    commit = Commit(
        customer_id,
        snapshot.version,
        store.now_for(snapshot),
        encode(customer),
        ttl_ms=store.lifetime_ms(customer),
        ticket=ticket,
        ids=ids,
    )
    return await store.commit(commit, customer, deadline)
