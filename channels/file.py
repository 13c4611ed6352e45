"""The `file` adapter: each message is a line of JSON, appended to one file.

For trying things out, for tests, and for systems that take messages from a file. It is also the measure of the others:
every message is there exactly once, whatever is killed when, and however many processes append to the same file
(channels.lines says how).

Who waits for the file's lock may be given up meanwhile, or stand still for so long that another has the message by now,
and what was to be written must not be any more: so that is asked right before the line is.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import orjson

from channels.adapter import Later, Outcome, Sent
from channels.lines import Lines
from channels.message import Message
from features.customer import moment
from features.deadline import Deadline


class Attempt:
    """To write a line, in a thread that can't be stopped: it is begun or given up, whichever comes first."""

    def __init__(self, until: Deadline) -> None:
        self._first = threading.Lock()
        self._until = until

    def begin(self) -> bool:
        """Whether it may be written: nobody has given it up, and there is time."""
        return not self._until.passed and self._first.acquire(blocking=False)

    def give_up(self) -> bool:
        """Whether it will not be written: nobody has begun."""
        return self._first.acquire(blocking=False)


class File:
    """Opened once; close it. Raises NotMessagesError, OSError."""

    def __init__(self, path: Path) -> None:
        self._lines = Lines(path)

    def close(self) -> None:
        self._lines.close()

    async def was_sent(self, message_id: str) -> bool:
        return message_id in self._lines.ids or await asyncio.to_thread(self._look, message_id)

    async def send(self, message: Message, until: Deadline) -> Outcome:
        """Cancelled, it writes nothing any more; or, where that has begun, says how it went all the same."""
        attempt = Attempt(until)
        writing = asyncio.ensure_future(asyncio.to_thread(self._append, message, attempt))
        try:
            there = await asyncio.shield(writing)
        except asyncio.CancelledError:
            if attempt.give_up():
                raise
            there = await writing
        return Sent() if there else Later("the file was somebody else's for too long")

    def _look(self, message_id: str) -> bool:
        with self._lines.held():
            return message_id in self._lines.ids

    def _append(self, message: Message, attempt: Attempt) -> bool:
        """Whether it is there."""
        line = line_of(message)
        with self._lines.held():
            if message.id not in self._lines.ids and attempt.begin():
                self._lines.append(message.id, line)
            return message.id in self._lines.ids


def line_of(message: Message) -> bytes:
    """As it stands in the file; times in ISO 8601, UTC."""
    told = {
        "id": message.id,
        "decision_id": message.decision_id,
        "customer_id": message.customer_id,
        "action": message.action,
        "treatment": message.treatment,
        "channel": message.channel,
        "purpose": message.purpose,
        "address": message.address,
        "content": message.content,
        "decided_at": moment(message.at),
        "not_before": None if message.not_before is None else moment(message.not_before),
        "valid_until": None if message.valid_until is None else moment(message.valid_until),
        "catalog": message.catalog,
    }
    return orjson.dumps(told, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
