"""The tally of a deliverer: what it says at the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from decision.release import Unsent


@dataclass(slots=True)
class Tally:
    """What became of messages. `held`, `later` and `unreadable` count each time that one was put off."""

    sent: int = 0
    held: int = 0
    later: int = 0
    unreadable: int = 0
    unsent: Counter[Unsent] = field(default_factory=Counter)

    @property
    def done_with(self) -> str:
        """What has left the outbox."""
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(self.unsent.items()))
        return f"{self.sent} sent, {self.unsent.total()} not sent" + (f" ({why})" if why else "")

    def __str__(self) -> str:
        text = f"{self.done_with}, {self.held} held until quiet hours are over, {self.later} to be tried again"
        return text + (f", {self.unreadable} unreadable" if self.unreadable else "")
