"""An adapter: the last step of a message's way, into a file, to a mail server, to somebody's API.

An adapter is handed one message at a time of any one customer, and says what became of it. It does not decide whether
the message may be sent; that has just been looked at. It may be handed the same message twice, when whoever handed it
over died before it could note the answer: so it is asked `was_sent` first, and uses the message's id, which never
changes, as the key by which the far side knows a repetition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from channels.message import Message
from features.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Sent:
    """It is out of our hands, durably."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not sent and never will be: the address is none, or nobody takes it there. `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """It was not sent, and may be another time: in `seconds`, at least one, or when the deliverer thinks."""

    reason: str
    seconds: float | None = None


Outcome = Sent | Refused | Later


class Adapter(Protocol):
    """Whatever either method raises counts as Later. One that takes longer than the deliverer waits is cancelled, which
    counts as Later too: it must not send after that, as the customer may have said no by then.

    A process that is stopped, or whose machine sleeps, is cancelled only when it goes on, and may get to sending before
    that. So `send` is told until when it may: right before it can't be undone any more it looks whether `until` has
    passed, and then answers Later.
    """

    async def was_sent(self, message_id: str) -> bool:
        """Whether this message is known to have gone out. One that can't tell says False."""
        ...

    async def send(self, message: Message, until: Deadline) -> Outcome: ...
