"""What can go wrong with an archive, apart from Redis (features.errors) and the disk (OSError).

ArchiveError
├── ArchiveBusy       another archiver is at work in this folder: nothing was done, try again later
├── ForeignArchive    the records of this Redis are archived in another folder: nothing was done
└── BrokenArchive     the folder says of itself what can't be read: nothing was done
"""

# They are named as a caller thinks of them, which is rarely as errors.
# ruff: noqa: N818

from __future__ import annotations


class ArchiveError(Exception):
    """Base of all the above."""


class ArchiveBusy(ArchiveError):
    pass


class ForeignArchive(ArchiveError):
    pass


class BrokenArchive(ArchiveError):
    pass
