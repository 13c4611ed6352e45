"""Overdue: tells those who wait for a reply when their time is up. One timer for all of them."""

import asyncio
from collections.abc import Callable
from time import monotonic

LOOK_EVERY = 0.002  # seconds from look to look; a timer for each would cost as much as a gate


class Overdue:
    """Who waits is known by a function to call when it is too late."""

    def __init__(self) -> None:
        self._waiting: dict[Callable[[], None], float] = {}
        self._looking = False

    def watch(self, too_late: Callable[[], None], end: float, loop: asyncio.AbstractEventLoop) -> None:
        """Calls `too_late` when `end` has passed (seconds, monotonic), unless it is `settled` before."""
        self._waiting[too_late] = end
        if not self._looking:
            self._looking = True
            loop.call_later(LOOK_EVERY, self._look, loop)

    def settled(self, too_late: Callable[[], None]) -> bool:
        """It need not be called any more; False where it was already, or is about to be."""
        return self._waiting.pop(too_late, None) is not None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = monotonic()
        for too_late in [waiting for waiting, end in self._waiting.items() if end <= now]:
            del self._waiting[too_late]
            loop.call_soon(too_late)
        self._looking = bool(self._waiting)
        if self._looking:
            loop.call_later(LOOK_EVERY, self._look, loop)
