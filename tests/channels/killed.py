"""A deliverer that kills itself, as by `kill -9`, once it has come to a step for the n-th time.

Run as `python -m tests.channels.killed URL NOW FILE STEP N`. Where it doesn't come to that it ends when nothing is due.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from channels.file import File
from channels.running import deliver_once
from tests.channels.desk import desk_at

STEPS = ("taken", "asked", "looked at", "sent", "recorded", "done", "held")


async def _main(url: str, now: str, path: str, step: str, times: str) -> None:
    left = int(times)

    def came_to(at: str) -> None:
        nonlocal left
        left -= at == step
        if left == 0 and at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    file = File(Path(path))
    async with desk_at(url, now, Path(path)) as desk:
        await deliver_once(desk.deliverer(file, came_to))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
