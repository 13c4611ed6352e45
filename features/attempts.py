"""Attempts: commits to one customer that others may win, and the right of way for who keeps losing."""

import os

from features.commit import Moved, Outcome
from features.deadline import Deadline

TRIES_BEFORE_TICKET = 3
LONGEST_PAUSE_MS = 2  # a ticket lasts longer, but mostly its holder commits at once, and that ends it


class Attempts:
    """`ticket` is what the next commit is to carry: None at first, one's own after losing three times."""

    __slots__ = ("_lost", "ticket")

    def __init__(self) -> None:
        self.ticket: bytes | None = None
        self._lost = 0

    def lose(self) -> None:
        self._lost += 1
        if self._lost >= TRIES_BEFORE_TICKET:
            self.ticket = self.ticket or os.urandom(8)

    async def lost(self, outcome: Outcome, deadline: Deadline) -> None:
        """Loses, and gives way. Whether there is time left the next commit will find out."""
        self.lose()
        await give_way(outcome, deadline)


async def give_way(outcome: Outcome, deadline: Deadline) -> None:
    """Waits a little where another holds the ticket."""
    if isinstance(outcome, Moved) and outcome.held_ms:
        await deadline.pause(min(outcome.held_ms, LONGEST_PAUSE_MS) / 1000)
