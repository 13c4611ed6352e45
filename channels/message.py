"""A message: one outbound action of one decision, as the outbox holds it. decision.answer writes it."""

from __future__ import annotations

from typing import Any

import msgspec

from decision.preceding import LONGEST_WAIT
from decision.release import Outgoing


class Message(msgspec.Struct, frozen=True):
    """Times are in microseconds since 1970 UTC. `not_before` is when quiet hours are over that it was decided in."""

    decision_id: str
    customer_id: str
    at: int
    treatment: str
    action: str
    channel: str
    address: str | None
    content: dict[str, Any]
    purpose: str | None = None
    not_before: int | None = None
    valid_until: int | None = None
    catalog: str = ""

    @property
    def id(self) -> str:
        """The same however often it is handed over; no other message has it."""
        return f"{self.decision_id}/{self.treatment}"

    @property
    def outgoing(self) -> Outgoing:
        until = self.at + LONGEST_WAIT if self.valid_until is None else self.valid_until
        return Outgoing(self.decision_id, self.treatment, self.purpose or "", self.address, until)


_decoder = msgspec.json.Decoder(Message)


def read_message(body: bytes) -> Message:
    """Raises ValueError on what is no message."""
    try:
        message = _decoder.decode(body)
        bytes.fromhex(message.decision_id)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"an entry of the outbox is no message: {error}") from None
    return message
