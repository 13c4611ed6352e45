"""What is left in the outbox when a deliverer ends, and why it is.

Beside an entry stands only when it is looked at next. Whether quiet hours hold it is seen from the message, or from
its contact, which is moved where they came to hold it later. Why else it is there the deliverer knows of those that it
had in hand itself; any other is in somebody's hands, or was put off by one who has ended. What nobody has looked at
came later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from channels.message import Message, read_message
from channels.outbox import Outbox, Taken
from decision.release import contact_of
from features.deadline import Deadline
from features.errors import CorruptState
from features.identity import root_of
from features.store import CustomerStore

SECONDS = 5.0  # for each customer that has to be asked for


class Left(StrEnum):
    """Why an entry is still there, for people."""

    HELD = "held until quiet hours are over"
    LATER = "to be tried again"
    BEHIND = "behind one of these"
    NO_TIME = "in hand for too long, to be taken again"
    UNREADABLE = "unreadable"
    ELSEWHERE = "in another deliverer's hands, or put off by one"
    NEW = "new since then"


FINE = frozenset({Left.HELD, Left.NEW})
"""Of these nothing should have gone by now."""
Known = Mapping[tuple[int, bytes], Left]
"""By partition and id of the entry."""


async def what_is_left(store: CustomerStore, outbox: Outbox, known: Known) -> Counter[Left]:
    """How many entries there are for each reason. Raises StoreError."""
    found: Counter[Left] = Counter()
    for partition in range(outbox.partitions):
        async for entry, until in outbox.entries(partition):
            if until is None:
                found[Left.NEW] += 1
            else:
                found[await _why(store, entry, known.get((partition, entry.id)))] += 1
    return found


async def _why(store: CustomerStore, entry: Taken, known: Left | None) -> Left:
    try:
        message = read_message(entry.body)
    except ValueError:
        return Left.UNREADABLE
    if message.not_before is not None and message.not_before > store.clock.now():
        return Left.HELD
    if known is None:
        return Left.HELD if await _is_moved(store, message) else Left.ELSEWHERE
    return known


async def _is_moved(store: CustomerStore, message: Message) -> bool:
    """Whether its contact lies ahead."""
    try:
        _, snapshot = await root_of(store, message.customer_id, Deadline(SECONDS), fresh=True)
    except CorruptState:
        return False
    contact = contact_of(snapshot.customer, message.outgoing)
    return contact is not None and contact.at > store.clock.now()


def told(left: Mapping[Left, int]) -> str:
    """In the order of the reasons; "nothing is left" where that is so."""
    parts = [f"{left[why]} {why}" for why in Left if left.get(why)]
    return f"left: {', '.join(parts)}" if parts else "nothing is left"
