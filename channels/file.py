"""The `file` adapter: each message is a line of JSON, appended to one file.

For trying things out, for tests, and for systems that take messages from a file. It is also the measure of the others:
every message is there exactly once, whatever is killed when, and however many processes append to the same file.

    lock      the file itself, for each look and each line: nobody else is in the middle of writing then
    read on   what others have appended since the last look: their ids are known too
    cut off   a line without an end, which somebody who was killed has left: its message was never said to be sent
    append    one line in one write, then fsync, and only then it is sent

Who waits for a lock may be given up meanwhile, and what was to be written must not be any more: so that is asked right
before the line is.

A file that holds anything else is not touched: it was hardly meant.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson

from channels.adapter import Outcome, Sent
from channels.message import Message
from features.customer import moment

_BEGINS = b'{"id":"'
_AT_ONCE = 1 << 20


class NotMessagesError(ValueError):
    """The file holds something that this adapter has not written."""


class _Line(msgspec.Struct):
    id: str


_id = msgspec.json.Decoder(_Line).decode


class Attempt:
    """To write a line, in a thread that can't be stopped: it is begun or given up, whichever comes first."""

    def __init__(self) -> None:
        self._first = threading.Lock()

    def begin(self) -> bool:
        """Whether it may be written: nobody has given it up."""
        return self._first.acquire(blocking=False)

    def give_up(self) -> bool:
        """Whether it will not be written: nobody has begun."""
        return self._first.acquire(blocking=False)


class File:
    """Opened once; close it. Raises NotMessagesError, OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._sent: set[str] = set()
        self._read = 0  # bytes, all of whole lines
        self._line = 0
        try:
            _sync_folder(path.absolute().parent)
            with self._held():
                pass
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    async def was_sent(self, message_id: str) -> bool:
        return message_id in self._sent or await asyncio.to_thread(self._look, message_id)

    async def send(self, message: Message) -> Outcome:
        """Cancelled, it writes nothing any more; or, where that has begun, says how it went all the same."""
        attempt = Attempt()
        writing = asyncio.ensure_future(asyncio.to_thread(self._append, message, attempt))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            if attempt.give_up():
                raise
            await writing
        return Sent()

    def _look(self, message_id: str) -> bool:
        with self._held():
            return message_id in self._sent

    def _append(self, message: Message, attempt: Attempt) -> None:
        line = line_of(message)
        with self._held():
            if message.id in self._sent or not attempt.begin():
                return
            self._write(line)
            self._sent.add(message.id)

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(f"{self._path}: only {written} of {len(line)} bytes could be written")
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._read)  # who reads on later must not take it for sent
            raise
        self._read += written
        self._line += 1

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Nobody else writes meanwhile, and what they have written is known."""
        # Its own description of the file: locks of the same one would not keep two threads apart.
        lock = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read_on()
            yield
        finally:
            os.close(lock)

    def _read_on(self) -> None:
        rest, before = b"", self._read
        while data := os.pread(self._descriptor, _AT_ONCE, self._read + len(rest)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._sent.add(self._id_in(line))
                self._line += 1
                self._read += len(line) + 1
        if rest:
            if not (rest.startswith(_BEGINS) or _BEGINS.startswith(rest)):
                raise NotMessagesError(f"{self._path}: its last line is none that was written here: name another file")
            os.ftruncate(self._descriptor, self._read)
        if rest or self._read > before:
            os.fsync(self._descriptor)  # whoever wrote it may have been killed before that

    def _id_in(self, line: bytes) -> str:
        try:
            return _id(line).id
        except msgspec.MsgspecError:
            raise NotMessagesError(f"{self._path}: line {self._line + 1} is no message: name another file") from None


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


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
