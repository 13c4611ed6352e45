"""The time a worker decides with: the Redis server's, carried forward by the local monotonic clock.

Every reply of the ledger says the server's time. The wall clock of the worker's machine is never asked, so a fast or
slow machine can neither free a window early nor hold one longer. Times are microseconds since 1970 UTC.
"""

import time
from collections.abc import Callable

TOLERANCE = 5_000  # what a reply's travel may take before it is worth a correction
STEP = 1_000_000  # that much ahead, the server's clock was set, or ours has stood still


class ServerClock:
    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset: int | None = None
        self._stepped: Callable[[], None] = _unheard

    @property
    def known(self) -> bool:
        return self._offset is not None

    def heard(self, server: int) -> None:
        """A reply said that it was `server`; corrects the estimate where it is off by more than the tolerance."""
        offset = server - self._monotonic_ns() // 1000
        if self._offset is None or abs(offset - self._offset) > TOLERANCE:
            stepped = self._offset is not None and offset - self._offset > STEP
            self._offset = offset
            if stepped:
                self._stepped()

    def on_step(self, stepped: Callable[[], None]) -> None:
        """`stepped` is called when the server's time turns out to be more than a second ahead of the estimate."""
        self._stepped = stepped

    def set_ahead(self, by: int) -> None:
        """The service's time was set, not the server's clock. Raises RuntimeError before the first reply."""
        if self._offset is None:
            raise RuntimeError("the server's time is not known yet")
        self._offset += by

    def now(self) -> int:
        """Raises RuntimeError before the first reply."""
        if self._offset is None:
            raise RuntimeError("the server's time is not known yet")
        return self._monotonic_ns() // 1000 + self._offset


def _unheard() -> None:
    pass
