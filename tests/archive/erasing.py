"""An erasing that kills itself, as by `kill -9`, once it has come to a step for the n-th time."""

import asyncio
import os
import signal
from collections.abc import Sequence

from archive.erasing import erase
from archive.running import Place
from features.opening import open_store

STEPS = ("held", "settled", "forgotten", "erasing", "streams", "writing", "rewritten", "replaced", "files")


def erases(place: Place, name: str, times: int, customer_ids: Sequence[str]) -> None:
    asyncio.run(erase_and_die(place, name, times, customer_ids))


async def erase_and_die(place: Place, name: str, times: int, customer_ids: Sequence[str]) -> None:
    left = times

    def step(at: str) -> None:
        nonlocal left
        left -= at == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    store = await open_store(place.url, keep_clock=False)
    await erase(store.ledger, place.data, customer_ids, step=step)
    await store.ledger.link.close()
