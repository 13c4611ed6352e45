"""Which events a customer was sent of late, by the digests of what they are known as, and the events themselves while
the stream of events still has them.
"""

from collections.abc import Iterable, Sequence

from features.deadline import Deadline
from features.events import Event, EventsError, digest, known_as, unpack_events
from features.ledger import DAY_US, Ledger


async def seen_ids(ledger: Ledger, customer_id: str, now: int, deadline: Deadline) -> list[bytes]:
    """The digests of all ids of today and yesterday; `now` is the service's time in microseconds. Raises StoreError."""
    found: dict[bytes, None] = {}
    for day in _days(now, 2):
        key = ledger.layout.event_ids(customer_id, day)
        found |= dict.fromkeys(await ledger.link.ask("HKEYS", key, within=deadline.left()))
    return list(found)


async def seen_events(
    ledger: Ledger, customer_ids: Iterable[str], digests: Iterable[bytes], now: int, deadline: Deadline
) -> list[Event]:
    """The events with these ids, as far as one of the customers has them; of each the copy of the first who has.

    Raises StoreError.
    """
    missing, found = dict.fromkeys(digests), []
    for customer_id in customer_ids:
        for day in _days(now, 3):  # the ids of an alias lie a day longer than they count
            for entry in await _entries(ledger, customer_id, day, list(missing), deadline):
                for event in await _in_entry(ledger, customer_id, entry, deadline):
                    if (its := digest(known_as(event.type, event.id))) in missing:
                        found.append(event)
                        del missing[its]
        if not missing:
            break
    return found


def _days(now: int, count: int) -> list[int]:
    return [now // DAY_US - ago for ago in range(count)]


async def _entries(
    ledger: Ledger, customer_id: str, day: int, digests: Sequence[bytes], deadline: Deadline
) -> set[bytes]:
    """Where in the stream those of `digests` are that the customer was sent that day."""
    if not digests:
        return set()
    key = ledger.layout.event_ids(customer_id, day)
    entries = await ledger.link.ask("HMGET", key, *digests, within=deadline.left())
    return {entry for entry in entries if entry}


async def _in_entry(ledger: Ledger, customer_id: str, entry: bytes, deadline: Deadline) -> tuple[Event, ...]:
    stream = ledger.layout.events(ledger.layout.partition(customer_id))
    for _, (_, _, _, packed) in await ledger.link.ask("XRANGE", stream, entry, entry, within=deadline.left()):
        try:
            return unpack_events(packed)
        except EventsError:
            break
    return ()
