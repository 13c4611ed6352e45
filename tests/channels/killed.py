"""A deliverer that kills itself, as by `kill -9`, once it has come to a step for the n-th time.

Where it doesn't come to that it ends when nothing is due.
"""

import asyncio
import os
import signal
from pathlib import Path

from channels.file import File
from channels.running import deliver_once
from tests.channels.desk import desk_at

STEPS = ("taken", "asked", "looked at", "sent", "recorded", "done", "held")


def delivers(url: str, now: str, path: Path, step: str, times: int) -> None:
    asyncio.run(_main(url, now, path, step, times))


async def _main(url: str, now: str, path: Path, step: str, times: int) -> None:
    left = times

    def came_to(at: str) -> None:
        nonlocal left
        left -= at == step
        if left == 0 and at == step:
            os.kill(os.getpid(), signal.SIGKILL)

    file = File(path)
    async with desk_at(url, now, path) as desk:
        await deliver_once(desk.deliverer(file, came_to))
