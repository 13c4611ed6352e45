"""The budget of time of one request: when it ends, and what is left of it."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Ends `seconds` after its making; `time` is a monotonic clock in seconds."""

    __slots__ = ("_end", "_time")

    def __init__(self, seconds: float, time: Callable[[], float]) -> None:
        self._time = time
        self._end = time() + seconds

    def left(self) -> float:
        """Seconds left, 0.0 once it has passed."""
        return max(0.0, self._end - self._time())

    @property
    def passed(self) -> bool:
        return self._time() >= self._end

    async def pause(self, seconds: float) -> None:
        """Sleeps, but not past the deadline."""
        await asyncio.sleep(min(seconds, self.left()))
