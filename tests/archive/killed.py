"""An archiver that kills itself, as by `kill -9`, once it has come to a step for the n-th time.

Where it does not come to that it ends by itself; with a step there is none of, after n drains.
"""

import asyncio
import contextlib
import os
import signal
from dataclasses import replace

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


def drains(place: Place, name: str, times: int) -> None:
    for _ in range(1 if name in STEPS else times):
        drain(place, name, times)


def drain(place: Place, name: str, times: int) -> None:
    left = times

    def step(at: str) -> None:
        nonlocal left
        left -= at == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with contextlib.suppress(ArchiveBusy):
        asyncio.run(archive_once(place, TERMS, step=step))
