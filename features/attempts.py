"""Attempts: commits to one customer that others may win, and the right of way for who keeps losing."""

import os

from features.commit import Moved, Outcome
from features.deadline import Deadline

TRIES_BEFORE_TICKET = 3


class Attempts:
    """`ticket` is what the next commit is to carry: None at first, one's own after losing three times."""

    __slots__ = ("_lost", "ticket")

    def __init__(self) -> None:
        self.ticket: bytes | None = None
        self._lost = 0

    async def lost(self, outcome: Outcome, deadline: Deadline) -> None:
        """Waits where another holds the right of way. Whether there is time left the next commit will find out."""
        self._lost += 1
        if self._lost >= TRIES_BEFORE_TICKET:
            self.ticket = self.ticket or os.urandom(8)
        if isinstance(outcome, Moved) and outcome.held_ms:
            await deadline.pause(min(outcome.held_ms, 2) / 1000)
