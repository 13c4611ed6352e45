"""Elapsed: seconds that have passed, those included in which the machine slept.

Python's monotonic clock stands while a machine sleeps, on Linux. What holds for so many seconds by the server's clock
(an entry among the workers, one of the outbox in hand, a look at a consent) must not be held to be good for longer
here, so it is measured by a clock that counts on. Where there is none it is the monotonic one.

No clock of a virtual machine counts while that is paused as a whole: the server's next reply tells of it (ServerClock).
"""

import time

CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed() -> float:
    """Never goes back. In seconds, since some moment."""
    return time.clock_gettime(CLOCK)
