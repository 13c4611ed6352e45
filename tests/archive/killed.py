"""An archiver that kills itself, as by `kill -9`, once it has come to a step for the n-th time.

Run as `python -m tests.archive.killed URL DATA STEP N`. Where it does not come to that it ends by itself; with a step
there is none of, after N drains.
"""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from archive.errors import ArchiveBusy
from archive.running import Place, archive_once
from tests.archive.streams import AT_ONCE

MOST = 400  # in a batch, so that there are several
TERMS = replace(AT_ONCE, most=MOST)
STEPS = (
    "opened",
    "read",
    "writing",
    "written",
    "marked",
    "publishing",
    "published",
    "trimming",
    "trimmed",
    "expiring",
    "expired",
)


def drain(place: Place, name: str, times: int) -> None:
    left = times

    def step(at: str) -> None:
        nonlocal left
        left -= at == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with contextlib.suppress(ArchiveBusy):
        asyncio.run(archive_once(place, TERMS, step=step))


if __name__ == "__main__":
    url, data, name, times = sys.argv[1:]
    for _ in range(1 if name in STEPS else int(times)):
        drain(Place(url, Path(data)), name, int(times))
