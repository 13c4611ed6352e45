"""Whether a request was answered before its customer became another: answers stay where they were given."""

import asyncio
from collections.abc import Iterable

from features.commit import Commit, Repeated
from features.deadline import Deadline
from features.ledger import Ledger

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
