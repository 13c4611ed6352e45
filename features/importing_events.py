"""Importing events from CSV, JSON Lines or Parquet: the same comes of them as if each had been sent, only sooner.

A file is stored slice by slice, a slice customer by customer. A file of progress beside the data says how many of its
rows are done, so that an import which was cut short goes on there. What it had begun with and not finished is stored
again: Redis knows which pieces of it, or which events where these have ids of their own, are there already, for a day
at least. After that only the log of events can tell, and is asked.

The file of progress belongs to the Redis that the events went to, by a name that is kept there: with another Redis, or
one that was emptied, an import begins from the start.
"""

import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from catalog.plan import Plan
from features.bulk import store_pieces
from features.bulk_batch import Batch
from features.bulk_pieces import Pieces
from features.columns import BadRow, ImportFileError
from features.commit import EVENT_IDS_S
from features.event_columns import EventColumns
from features.event_rows import read_slices
from features.event_slice import Slice
from features.importing_again import Logged, stored_before
from features.keys import META
from features.store import CustomerStore

ROWS = 500_000  # in a slice of columns
JSON_ROWS = 100_000  # each has its properties as Python's own
WITHIN = 30.0
_MARGIN_S = 3600  # before the marks of what was begun may go
Step = Callable[[str], None]


class Progress(msgspec.Struct):
    """How far the import of a file has come. `rows` of it are done, `tally` is what became of them. `began` is the
    service's time, in microseconds, at which what follows them was begun with, 0 if it wasn't. `redis` names the Redis.
    """

    file: str
    redis: str
    rows: int = 0
    complete: bool = False
    began: int = 0
    tally: dict[str, int] = {}
    version: int = 1


class Import:
    """The import of `file` into the customers of `store`, with its progress in `folder`. Raises ImportFileError.

    `step` is told what is about to be done or was done, for tests that end it there.
    """

    def __init__(
        self,
        store: CustomerStore,
        plan: Plan,
        file: Path,
        columns: EventColumns,
        folder: Path,
        step: Step = lambda name: None,
    ) -> None:
        store.lives_ms(plan.lifetime_ms)
        store.counts(plan.aggregates)
        self._store = store
        self._plan = plan
        self._file = file
        self._columns = columns
        self._step = step
        if not file.is_file():
            raise ImportFileError(f"no such file: {file}")
        self.source = fingerprint(file, columns)
        self._path = folder / f"{self.source}.json"
        self._size = JSON_ROWS if file.suffix.lower() in (".jsonl", ".ndjson") else ROWS
        self.bad: list[BadRow] = []
        self.done_before = False
        self.progress = Progress(file.name, "")

    async def run(self, done: Callable[[int], None], logged: Logged) -> Counter[str]:
        """What became of all rows of the file, whichever run stored them. Raises StoreError, ImportFileError, OSError.

        `done` is told of rows, those done by an earlier run first.
        """
        self.progress = await self._known()
        done(self.progress.rows)
        self.done_before = self.progress.complete
        if not self.progress.complete:
            for found in read_slices(self._file, self._columns, self.progress.rows, self._size):
                self._step("read")
                await self._store_slice(found, done, logged)
            self.progress.complete = True
            self._save()
        return Counter(self.progress.tally)

    async def _store_slice(self, found: Slice, done: Callable[[int], None], logged: Logged) -> None:
        batch = Batch(found, self._columns, self._plan.aggregates, self._store.clock.now(), self.source)
        before = 0
        if self._in_doubt():
            customer_ids = [name for name in set(batch.customer_ids.made) if name]
            before = batch.leave_out(await stored_before(self._store, customer_ids, logged))
        pieces = Pieces(self._plan, batch, self.source, self.progress.rows)
        pieces.tally["duplicate" if batch.has_ids else "stored"] += before
        self._begin()
        await store_pieces(self._store, pieces, done)
        self._step("stored")
        done(found.rows - len(pieces))
        self._finish(found.rows, pieces.tally, batch.bad)

    def _in_doubt(self) -> bool:
        """Whether these rows were begun with so long ago that Redis may have forgotten which of them are there."""
        began = self.progress.began
        return bool(began) and self._store.clock.now() - began > (EVENT_IDS_S - _MARGIN_S) * 1_000_000

    def _begin(self) -> None:
        if not self.progress.began:
            self.progress.began = self._store.clock.now()
            self._save()

    def _finish(self, rows: int, tally: Counter[str], bad: list[BadRow]) -> None:
        self.bad += bad
        known = Counter(self.progress.tally)
        known.update(tally)
        known["left_out"] += len(bad)
        self.progress = msgspec.structs.replace(
            self.progress, rows=self.progress.rows + rows, began=0, tally=dict(known)
        )
        self._save()

    async def _known(self) -> Progress:
        link = self._store.ledger.link
        await link.ask("HSETNX", META, "imports", secrets.token_hex(8), within=WITHIN)
        name = (await link.ask("HGET", META, "imports", within=WITHIN)).decode()
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Progress)
        except FileNotFoundError:
            return Progress(self._file.name, name)
        except msgspec.MsgspecError as error:
            raise ImportFileError(f"{self._path} is no progress of an import: {error}") from None
        return found if found.redis == name else Progress(self._file.name, name)

    def _save(self) -> None:
        """Whole or not at all, whenever the process ends."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(self.progress))
            file.flush()
            os.fsync(file.fileno())
        self._step("saving")
        beside.replace(self._path)
        self._step("saved")


def fingerprint(file: Path, columns: EventColumns) -> str:
    """Of the file's content and what its columns mean: the same content read in another way is another import."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=8))
    found.update(json.dumps([columns.kind, sorted(columns.mapping.items())]).encode())
    return found.hexdigest()
