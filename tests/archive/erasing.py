"""An erasing that kills itself, as by `kill -9`, once it has come to a step for the n-th time.

Run as `python -m tests.archive.erasing URL DATA STEP N CUSTOMER...`.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from archive.erasing import erase
from features.opening import open_store

STEPS = ("held", "settled", "forgotten", "erasing", "streams", "writing", "rewritten", "replaced", "files")


async def erase_and_die(url: str, data: Path, name: str, times: int, customer_ids: list[str]) -> None:
    left = times

    def step(at: str) -> None:
        nonlocal left
        left -= at == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    store = await open_store(url, keep_clock=False)
    await erase(store.ledger, data, customer_ids, step=step)
    await store.ledger.link.close()


if __name__ == "__main__":
    url, data, name, times, *customer_ids = sys.argv[1:]
    asyncio.run(erase_and_die(url, Path(data), name, int(times), customer_ids))
