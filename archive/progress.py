"""How far an archive has come: one small JSON file, replaced as a whole, which is what makes a batch count.

See archive.drain for how it is used.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from archive.errors import BrokenArchive
from archive.streams import Entry, EntryId

FORMAT = 2


class Progress(msgspec.Struct, frozen=True):
    """`id` names the archive, in the files' names and in Redis. `batch` is the number of the last batch.

    `marks` holds, by kind and partition, the last stream entry that is archived. `publishing` are the last batch's
    files, relative to the archive's folder: those that still lie under their temporary names are to be put in place.
    Of entries up to `doubt_ms` (server time, milliseconds) the marks alone do not say whether they are archived.
    """

    id: str
    batch: int = 0
    marks: dict[str, dict[int, EntryId]] = {}
    publishing: tuple[str, ...] = ()
    doubt_ms: int = 0
    format: int = FORMAT

    @property
    def latest_ms(self) -> int:
        """The server time of the latest entry that is archived, in milliseconds; 0 if there is none."""
        return max((mark[0] for marks in self.marks.values() for mark in marks.values()), default=0)

    def marked(self, kind: str, entries: Iterable[Entry]) -> dict[str, dict[int, EntryId]]:
        """The marks once these are archived, too; of a partition they are in order."""
        return {**self.marks, kind: {**self.marks.get(kind, {}), **{entry.partition: entry.id for entry in entries}}}


class _Before(msgspec.Struct, frozen=True):
    """Format 1, of archives that knew decisions only."""

    id: str
    batch: int = 0
    marks: dict[int, EntryId] = {}
    publishing: tuple[str, ...] = ()
    doubt_ms: int = 0

    def now(self) -> Progress:
        return Progress(self.id, self.batch, {"decisions": self.marks}, self.publishing, self.doubt_ms)


class _Format(msgspec.Struct):
    format: int = 1


def doubted(progress: Progress, now_ms: int) -> Progress:
    """Begins anew, asking of everything up to now whether the archive has it already."""
    doubt_ms = max(now_ms, progress.latest_ms, progress.doubt_ms)
    return msgspec.structs.replace(progress, marks={}, doubt_ms=doubt_ms)


def written(progress: Progress) -> bytes:
    return msgspec.json.format(msgspec.json.encode(progress)) + b"\n"


def read_progress(text: bytes) -> Progress:
    """Raises BrokenArchive."""
    try:
        version = msgspec.json.decode(text, type=_Format).format
        if version == 1:
            return msgspec.json.decode(text, type=_Before).now()
        if version == FORMAT:
            return msgspec.json.decode(text, type=Progress)
    except msgspec.MsgspecError as error:
        raise BrokenArchive(f"the archive's progress.json can't be read: {error}") from None
    raise BrokenArchive(f"this archive has format {version}, this Tino writes {FORMAT}")
