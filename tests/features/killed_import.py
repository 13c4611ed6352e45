"""An import of events that kills itself, as by `kill -9`, once it has come to a step for the n-th time.

Where it doesn't come to that it ends by itself.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import features.bulk
import features.bulk_pieces
import features.importing_events
from features.event_columns import EventColumns
from features.events import unpack_events
from features.importing_events import Import
from features.opening import open_store
from features.store import CustomerStore
from tests.decision.plans import plan_of

CATALOG = """
events: {purchase: {amount: double, department: string}}
aggregates:
  visits: {count: purchase, window: 300d, tile: 1d}
  spend: {sum: purchase.amount}
  departments: {values: purchase.department}
"""
STEPS = ("read", "stored", "saving", "saved", "event")
PLAN = plan_of(CATALOG)
COLUMNS = EventColumns(PLAN.aggregates.declared, "purchase")


def cut_small() -> None:
    """So that even a short file has several slices, and a slice several writes."""
    features.importing_events.ROWS = 25
    features.importing_events.JSON_ROWS = 25
    features.bulk.MOST_PIECES = 4
    features.bulk_pieces.MOST_EVENTS = 5
    features.bulk_pieces.MOST_IDS = 3


async def imported(store: CustomerStore, file: Path, folder: Path, step: str = "", times: int = 0) -> Counter[str]:
    left = times

    def came_to(at: str) -> None:
        nonlocal left
        left -= at == step
        if left == 0 and at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    run = Import(store, PLAN, file, COLUMNS, folder, came_to)
    return await run.run(lambda count: came_to("event"), lambda: logged(store))


async def logged(store: CustomerStore) -> AsyncIterator[tuple[str, Iterable[str]]]:
    """From the stream alone."""
    link, layout = store.ledger.link, store.ledger.layout
    for partition in range(layout.partitions):
        for _, (_, name, _, packed) in await link.ask("XRANGE", layout.events(partition), "-", "+", within=5):
            yield name.decode(), [event.id for event in unpack_events(packed)]


def imports(url: str, file: Path, folder: Path, step: str, times: int) -> None:
    cut_small()
    asyncio.run(_main(url, file, folder, step, times))


async def _main(url: str, file: Path, folder: Path, step: str, times: int) -> None:
    store = await open_store(url)
    await imported(store, file, folder, step, times)
    await store.ledger.link.close()
