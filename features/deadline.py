"""The budget of time of one request: when it ends, and what is left of it."""

import asyncio
from collections.abc import Callable
from time import monotonic


class Deadline:
    """Ends `seconds` after its making; `time` is a monotonic clock in seconds.

    Not the event loop's own: to ask for the running loop costs a system call in CPython 3.11.
    """

    __slots__ = ("_time", "end")

    def __init__(self, seconds: float, time: Callable[[], float] = monotonic) -> None:
        self._time = time
        self.end = time() + seconds

    def left(self) -> float:
        """Seconds left, 0.0 once it has passed."""
        return max(0.0, self.end - self._time())

    @property
    def passed(self) -> bool:
        return self._time() >= self.end

    async def pause(self, seconds: float) -> None:
        """Sleeps, but not past the deadline."""
        await asyncio.sleep(min(seconds, self.left()))
