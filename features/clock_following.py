"""Following the service's clock: it belongs to the data, and whoever sets it ahead sets it for all who use them.

A process that went on by the clock of before would find every customer that others have changed since ahead of its
time, and send at noon what is held until the morning. So everybody who runs for long looks, and counts on from where
the clock stands then. Who had decided by the one before commits by it still, as if that had come first; a reply to that
sets our estimate back, which the next commit is refused for, and corrects.
"""

from features.keys import META
from features.store import CustomerStore

WITHIN = 5.0
CLOCK = "clock"  # in META: the time that was asked for, a bar, and how far that is ahead of the server's


def offset_in(kept: bytes) -> int:
    """How far the clock is ahead of the server's, in microseconds."""
    _, _, offset = kept.decode().rpartition("|")
    return int(offset)


async def follow_clock(store: CustomerStore, within: float = WITHIN) -> bool:
    """Whether the clock was set since; `store` then goes by it. One that Redis has lost runs on. Raises StoreError."""
    ledger = store.ledger
    kept = await ledger.link.ask("HGET", META, CLOCK, within=within)
    before = ledger.clock_offset_us
    if kept is None or offset_in(kept) == before:
        return False
    ledger.clock_offset_us = offset_in(kept)
    if store.clock.known:
        store.clock.set_ahead(ledger.clock_offset_us - before)
    return True
