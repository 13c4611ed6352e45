"""A spool: rows in any order go in, and come out so that all of one customer's are together, with bounded memory.

They are spread over files by a hash of their customer, so that each file has all rows of its customers and fits into
memory. The files have no names and are gone with the process, however it ends.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.keys import Layout

FILE_BYTES = 16_000_000  # what a file may come to, as long as MOST_FILES are enough
FEWEST_FILES, MOST_FILES = 16, 256
SPREAD_AT_ONCE = 32_000_000


class Spool:
    """Of rows of one partition that have a `customer_id`; about `size` bytes are expected.

    The files are made in `folder`, or where the system has temporary ones. Raises OSError.
    """

    def __init__(self, schema: pa.Schema, layout: Layout, folder: Path | None, size: int) -> None:
        self._partitions = layout.partitions
        self._waiting: list[pa.Table] = []
        self._size = 0
        self._schema = schema
        with ExitStack() as stack:
            files = min(max(-(-size // FILE_BYTES), FEWEST_FILES), MOST_FILES)
            self._files = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(files)]
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._writers = [pa.ipc.new_stream(file, schema, options=options) for file in self._files]
            self._stack = stack.pop_all()

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._size += table.nbytes
        if self._size >= SPREAD_AT_ONCE:
            self._spread()

    def add_all(self, tables: Iterable[pa.Table]) -> None:
        for table in tables:
            self.add(table)

    def tables(self) -> Iterator[pa.Table]:
        """Nothing can be added any more."""
        self._spread()
        for writer, file in zip(self._writers, self._files, strict=True):
            writer.close()
            file.seek(0)
            yield pa.ipc.open_stream(file).read_all()

    def close(self) -> None:
        self._stack.close()

    def _spread(self) -> None:
        table = pa.concat_tables(self._waiting) if self._waiting else self._schema.empty_table()
        self._waiting, self._size = [], 0
        places = self._places(table)
        order = np.argsort(places, kind="stable")
        table = table.take(order)
        ends = np.searchsorted(places[order], np.arange(len(self._files)), side="right")
        start = 0
        for writer, end in zip(self._writers, ends.tolist(), strict=True):
            if end > start:
                writer.write_table(table.slice(start, end - start))
            start = end

    def _places(self, table: pa.Table) -> npt.NDArray[np.int64]:
        """The number of each row's file."""
        encoded = pc.dictionary_encode(table.column("customer_id").combine_chunks())
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.combine_chunks()
        places = [self._place(customer_id) for customer_id in encoded.dictionary.to_pylist()]
        indices: npt.NDArray[np.int64] = encoded.indices.to_numpy()
        return np.array(places, np.int64)[indices]

    def _place(self, customer_id: str) -> int:
        # Customers of one partition have the rest of this division in common.
        return zlib.crc32(customer_id.encode()) // self._partitions % len(self._files)
