"""Processes that are killed or race, forked from one that has imported what they run: a start takes milliseconds.

The one they are forked from has no event loop, no link to Redis and nothing of the tests; it is started when the first
is, and ends with the tests' process. Importing anew for each of some two hundred took a second of a core each time.
"""

import asyncio
import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

PATIENCE = 60.0
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "tests.archive.erasing",
        "tests.archive.killed",
        "tests.channels.killed",
        "tests.exactness.worker",
        "tests.features.killed_import",
        "tests.features.merges",
    ]
)


def forked(run: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A process that does this; it may be killed, and is to be joined."""
    process = _FORKS.Process(target=run, args=arguments)
    process.start()
    return process


async def status_of(process: ForkServerProcess) -> int:
    """What it has ended with: the negative number of a signal that has killed it."""
    await asyncio.to_thread(process.join, PATIENCE)
    assert process.exitcode is not None, "it has not ended"
    return process.exitcode
