"""The archive's folder on disk: where files lie, how one gets there whole or not at all, who may write.

    archive/lock                                     held by the archiver at work; never removed
    archive/progress.json                            how far it has come
    archive/.writing/                                files under way, under temporary names
    archive/decisions/day=YYYY-MM-DD/<name>.parquet  records of decisions
    archive/events/day=YYYY-MM-DD/<name>.parquet     events
    archive/quarantine/day=YYYY-MM-DD/<name>.parquet what could not be read as a record
    archive/quarantine_events/...                    what could not be read as events

A file's name says which archive wrote it and in which batch; that of decisions begins with from which to which it goes
(the first 12 digits of their ids: milliseconds). A file in place only changes when customers in it are erased: then as
a whole, from one moment to the next.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from archive.errors import ArchiveBusy
from archive.kinds import FOLDERS
from archive.progress import Progress, read_progress, written

_STATISTICS = ["decision_id", "customer_id", "decided_at", "happened_at", "received_at", "partition", "entry"]
_REPEATING = ["customer_id", "status", "reason", "catalog", "event_type", "entry"]


class Folder:
    """The archive under a data directory. Only who is inside `held` may change anything.

    What it makes is this user's alone; who has opened the folder to others finds it open.
    """

    def __init__(self, data: Path) -> None:
        self.root = data / "archive"
        self._writing = self.root / ".writing"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Makes the folder if need be. Raises ArchiveBusy if another archiver has it: not even one on its way out."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self.root, self._writing, *(self.root / kind for kind in FOLDERS)):
            folder.mkdir(mode=0o700, exist_ok=True)
        _sync(self.root, self.root.parent)
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveBusy(f"another archiver is at work in {self.root}") from None
            yield
        finally:
            os.close(descriptor)

    def progress(self) -> Progress | None:
        """None for a new archive. Raises BrokenArchive."""
        try:
            text = (self.root / "progress.json").read_bytes()
        except FileNotFoundError:
            return None
        return read_progress(text)

    def advance(self, progress: Progress) -> None:
        """Replaces the progress, all of it or nothing; it is on disk once this returns."""
        path = self._writing / "progress.json"
        with _of_ours_alone(path) as file:
            file.write(written(progress))
            file.flush()
            os.fsync(file.fileno())
        path.replace(self.root / "progress.json")
        _sync(self._writing, self.root)

    def write(self, place: str, schema: pa.Schema, groups: Iterable[pa.Table], step: Callable[[str], None]) -> None:
        """Writes the file that is to be at `place`, under its temporary name; on disk once this returns."""
        self._write(self._temporary(place), schema, groups, step)

    def replace(self, file: Path, schema: pa.Schema, groups: Iterable[pa.Table], step: Callable[[str], None]) -> None:
        """Puts other rows in a file in place, all of them or none; on disk once this returns."""
        # Under a name that is never published: what is half written when it ends here must not be put in place.
        path = self._writing / f"replacing~{file.parent.name}~{file.name}"
        self._write(path, schema, groups, step)
        step("rewritten")
        path.replace(file)
        _sync(file.parent, self._writing)

    def _write(self, path: Path, schema: pa.Schema, groups: Iterable[pa.Table], step: Callable[[str], None]) -> None:
        options: dict[str, Any] = {"compression": "zstd", "write_statistics": _named(schema, _STATISTICS)}
        with _of_ours_alone(path) as file:
            with pq.ParquetWriter(file, schema, use_dictionary=_named(schema, _REPEATING), **options) as writer:
                for group in groups:
                    writer.write_table(group)
                    step("writing")
            file.flush()
            os.fsync(file.fileno())
        _sync(self._writing)

    def publish(self, places: Iterable[str], step: Callable[[str], None]) -> None:
        """Puts the files in place that are not there yet. Harmless when repeated."""
        touched = set()
        for place in places:
            temporary, path = self._temporary(place), self.root / place
            if temporary.exists():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                temporary.rename(path)
                touched.add(path.parent)
                step("publishing")
        if touched:
            _sync(*touched, *{folder.parent for folder in touched}, self._writing)

    def sweep(self) -> None:
        """Removes what a killed archiver left half done."""
        for path in self._writing.iterdir():
            if path.is_file():  # a folder is somebody else's
                path.unlink()

    def free(self, place: str) -> bool:
        return not (self.root / place).exists()

    def days(self, kind: str) -> list[tuple[date, Path]]:
        """The days there are, in order, each with its folder. `kind` is one of FOLDERS."""
        found = []
        for path in sorted((self.root / kind).glob("day=*")):
            try:
                found.append((date.fromisoformat(path.name.removeprefix("day=")), path))
            except ValueError:
                continue  # not ours
        return found

    def files(self, kind: str) -> list[Path]:
        """All of a kind, by day. `kind` is one of FOLDERS."""
        return [file for _, day in self.days(kind) for file in sorted(day.glob("*.parquet"))]

    def remove(self, day: Path) -> None:
        shutil.rmtree(day)

    def remove_file(self, file: Path) -> None:
        file.unlink()
        _sync(file.parent)

    def _temporary(self, place: str) -> Path:
        return self._writing / place.replace("/", "~")


def place_of(kind: str, day: date, name: str) -> str:
    """A file's path within the archive's folder."""
    return f"{kind}/day={day}/{name}.parquet"


def _of_ours_alone(path: Path) -> BinaryIO:
    """Opened to be written anew; what is in it is about people."""
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))


def _named(schema: pa.Schema, names: Iterable[str]) -> list[str]:
    return [name for name in names if name in schema.names]


def _sync(*folders: Path) -> None:
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
