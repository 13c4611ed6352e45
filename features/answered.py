"""Whether a request was answered before its customer became another, or was erased: that stays known where the answer
was given.
"""

import asyncio
from collections.abc import Iterable

from features.commit import REQUEST_KEPT_US, Commit, Repeated
from features.customer import Customer
from features.deadline import Deadline
from features.ledger import Ledger
from features.suppression import suppression_of

_NEVER = bytes(16)  # the version of no customer: the first has the number 1


async def answered_before(
    ledger: Ledger, customer_ids: Iterable[str], request: tuple[bytes, bytes], now: int, deadline: Deadline
) -> Repeated | None:
    """The answer that one of these customers was given to `request` (as in Commit). Raises StoreError.

    The script looks for an answer before all else, so a commit that can't succeed asks for it. One customer of each
    partition is enough.
    """
    by_partition = {ledger.layout.partition(customer_id): customer_id for customer_id in customer_ids}
    commits = (Commit(customer_id, _NEVER, now, None, request=request) for customer_id in by_partition.values())
    outcomes = await asyncio.gather(*(ledger.commit(commit, deadline.left()) for commit in commits))
    return next((outcome for outcome in outcomes if isinstance(outcome, Repeated)), None)


def erased_lately(customer: Customer, now: int) -> bool:
    """Whether answers of before that are kept still, and their partition follows from nothing that is left of them."""
    return customer.erased > now - REQUEST_KEPT_US


async def answered_before_erasure(
    ledger: Ledger, customer_id: str, request: tuple[bytes, bytes], now: int, deadline: Deadline
) -> Repeated | None:
    """The answer that was given to `request` when `customer_id` was somebody else, who was erased since, and the record
    of it too. Raises StoreError.
    """
    before = await suppression_of(ledger, customer_id, deadline)
    if before is None:
        return None
    there = map(ledger.layout.any_id, before.answered)
    return await answered_before(ledger, there, request, now, deadline)
