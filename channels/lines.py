"""Lines: a file to which several processes append lines, each once, and which may be rotated under their hands.

    lock      the file itself, for each look and each line: nobody else is in the middle of writing then
    compare   where the line that was read last isn't there any more, the file was truncated: it is read anew
    read on   what others have appended since the last look: their ids are known too
    follow    where the path leads to another file by now, or to none, the file was renamed. It has just been read to
              its end, and nobody writes to it any more, as everybody who locks it finds that too. The new one is next
    cut off   a line without an end, which somebody who was killed has left: its message was never said to be sent
    append    one line in one write, then fsync

Ids stay known through all that. A file that holds anything else is not touched: it was hardly meant.

Given up: a lock in a file of its own. It would have to be left lying there for ever, and whoever copies only the one
file appends to it without the lock.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

_BEGINS = b'{"id":"'
_AT_ONCE = 1 << 20


class NotMessagesError(ValueError):
    """The file holds something that was not written here."""


class _Line(msgspec.Struct):
    id: str


_id = msgspec.json.Decoder(_Line).decode


class Lines:
    """Opened once; close it. `ids` are those of the lines that have been seen. Raises NotMessagesError, OSError."""

    def __init__(self, path: Path) -> None:
        self.ids: set[str] = set()
        self._path = path
        self._thread = threading.Lock()  # a file's lock keeps processes apart, but not the threads of one
        self._descriptor = _opened(path)
        self._begin()
        try:
            with self.held():
                pass
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else writes meanwhile, and what they have written is known."""
        with self._thread:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                self._read_on()
                while self._is_elsewhere():
                    self._follow()
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def append(self, line_id: str, line: bytes) -> None:
        """While it is held; durably."""
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(f"{self._path}: only {written} of {len(line)} bytes could be written")
            os.fsync(self._descriptor)
        except OSError:
            self._cut_off()  # who reads on later must not take it for sent
            raise
        self._knows(line_id, line)

    def _begin(self) -> None:
        self._read = 0  # bytes, all of whole lines
        self._line = 0
        self._last = b""

    def _is_elsewhere(self) -> bool:
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True

    def _follow(self) -> None:
        before, self._descriptor = self._descriptor, _opened(self._path)
        os.close(before)
        self._begin()
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._read_on()

    def _read_on(self) -> None:
        if os.pread(self._descriptor, len(self._last), self._read - len(self._last)) != self._last:
            self._begin()
        rest, before = b"", self._read
        while data := os.pread(self._descriptor, _AT_ONCE, self._read + len(rest)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._knows(self._id_in(line), line + b"\n")
        if rest:
            if not (rest.startswith(_BEGINS) or _BEGINS.startswith(rest)):
                raise NotMessagesError(f"{self._path}: its last line is none that was written here: name another file")
            self._cut_off()
        if rest or self._read > before:
            os.fsync(self._descriptor)  # whoever wrote it may have been killed before that

    def _knows(self, line_id: str, line: bytes) -> None:
        self.ids.add(line_id)
        self._read += len(line)
        self._line += 1
        self._last = line

    def _cut_off(self) -> None:
        """What is behind the last whole line; where the file was truncated just now, it must not become longer."""
        if os.fstat(self._descriptor).st_size > self._read:
            os.ftruncate(self._descriptor, self._read)

    def _id_in(self, line: bytes) -> str:
        try:
            return _id(line).id
        except msgspec.MsgspecError:
            raise NotMessagesError(f"{self._path}: line {self._line + 1} is no message: name another file") from None


def _opened(path: Path) -> int:
    """There it is by now, durably."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
