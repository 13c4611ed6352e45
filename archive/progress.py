"""How far an archive has come: one small JSON file, replaced as a whole, which is what makes a batch count.

See archive.drain for how it is used.
"""

from __future__ import annotations

import msgspec

from archive.errors import BrokenArchive
from archive.streams import EntryId

FORMAT = 1


class Progress(msgspec.Struct, frozen=True):
    """`id` names the archive, in the files' names and in Redis. `batch` is the number of the last batch.

    `marks` holds, by partition, the last stream entry that is archived. `publishing` are the last batch's files,
    relative to the archive's folder: those that still lie under their temporary names are to be put in place.
    Of entries up to `doubt_ms` (server time, milliseconds) the marks alone do not say whether they are archived.
    """

    id: str
    batch: int = 0
    marks: dict[int, EntryId] = {}
    publishing: tuple[str, ...] = ()
    doubt_ms: int = 0
    format: int = FORMAT

    @property
    def latest_ms(self) -> int:
        """The server time of the latest entry that is archived, in milliseconds; 0 if there is none."""
        return max((mark[0] for mark in self.marks.values()), default=0)


def doubted(progress: Progress, now_ms: int) -> Progress:
    """Begins anew, asking of everything up to now whether the archive has it already."""
    doubt_ms = max(now_ms, progress.latest_ms, progress.doubt_ms)
    return msgspec.structs.replace(progress, marks={}, doubt_ms=doubt_ms)


def written(progress: Progress) -> bytes:
    return msgspec.json.format(msgspec.json.encode(progress)) + b"\n"


def read_progress(text: bytes) -> Progress:
    """Raises BrokenArchive."""
    try:
        progress = msgspec.json.decode(text, type=Progress)
    except msgspec.MsgspecError as error:
        raise BrokenArchive(f"the archive's progress.json can't be read: {error}") from None
    if progress.format != FORMAT:
        raise BrokenArchive(f"this archive has format {progress.format}, this Tino writes {FORMAT}")
    return progress
