"""Workers inside the test's own process, for what must happen in a given order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from catalog.plan import Plan
from decision.engine import Engine
from features.deadline import Deadline
from features.ledger import Ledger
from features.opening import open_store
from features.store import CustomerStore
from tests.engines import AtOnce
from tests.exactness.messages import PATIENCE, Change
from tests.exactness.worker import changed


@asynccontextmanager
async def engine_at(url: str, plan: Plan, random: Callable[[int], bytes] | None = None) -> AsyncIterator[Engine]:
    """`random` is where the versions' random part comes from, if not from the system."""
    store = await open_store(url)
    if random is not None:
        store.ledger = Ledger(store.ledger.link, store.ledger.layout, random=random)
    try:
        yield AtOnce(store, plan)
    finally:
        await store.ledger.link.close()


def patience() -> Deadline:
    return Deadline(PATIENCE, asyncio.get_running_loop().time)


async def settled(store: CustomerStore, change: Change) -> None:
    """Makes the change; it is acknowledged once this returns."""
    await store.update(change.customer_id, partial(changed, change), patience())
