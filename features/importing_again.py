"""What of a file is stored already, told by the log of events: where Redis may have forgotten what it was sent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from features.deadline import Deadline
from features.identity import root_of
from features.store import CustomerStore

WITHIN = 30.0
AT_ONCE = 100
Logged = Callable[[], AsyncIterator[tuple[str, Iterable[str]]]]
"""All there is in the log: customer by customer, what their events are known as."""


async def stored_before(store: CustomerStore, customer_ids: Sequence[str], logged: Logged) -> dict[str, set[str]]:
    """What the events that these customers have are known as. Raises StoreError.

    An event is logged for whom it counted for when it was stored: who has been merged since may have some there too.
    """
    found: dict[str, set[str]] = {name: set() for name in customer_ids}
    also: dict[str, list[str]] = {}
    for start in range(0, len(customer_ids), AT_ONCE):
        names = customer_ids[start : start + AT_ONCE]
        for name, others in zip(names, await asyncio.gather(*(_others(store, each) for each in names)), strict=True):
            for other in others:
                also.setdefault(other, []).append(name)
    async for customer_id, ids in logged():
        for name in also.get(customer_id, ()):
            found[name].update(ids)
    return found


async def _others(store: CustomerStore, customer_id: str) -> set[str]:
    """All ids that the customer goes, or went, by."""
    root, snapshot = await root_of(store, customer_id, Deadline(WITHIN))
    identity = snapshot.customer.identity
    return {customer_id, root, *(identity.merged if identity is not None else ())}
