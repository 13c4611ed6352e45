"""Tables: what entries of a stream come to as rows of a file, whatever they hold, and those that come to none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from archive.streams import Entry, shown

ROWS_IN_GROUP = 2000
GROUP_BYTES = 32_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST_US = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


class Spelled(msgspec.Struct):
    """An entry that has been spelled out: `count` rows, which lie together in the file of the day of `at`.

    `key` is what a file's entries are sorted by; `known` tells this entry from others, in the columns that its kind
    names. `at` is service time in microseconds since 1970. `rows` makes the rows: where many are in one entry, only
    when they are written, as they take far more memory than the entry.
    """

    key: tuple[Any, ...]
    known: tuple[Any, ...]
    at: int
    count: int
    rows: Callable[[], Iterable[tuple[Any, ...]]]


class Bad(NamedTuple):
    """An entry that can't be spelled out, and why."""

    entry: Entry
    why: str


def groups_of(schema: pa.Schema, spelled: Iterable[Spelled]) -> Iterator[pa.Table]:
    """The row groups of a file, made one after another."""
    rows = (row for each in spelled for row in each.rows())
    while group := list(_group(rows)):
        yield table_of(schema, group)


def _group(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Some may be large: what an event says of itself is up to whoever sends it."""
    size = 0
    for row in islice(rows, ROWS_IN_GROUP):
        yield row
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size >= GROUP_BYTES:
            return


def table_of(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [() for _ in schema]
    arrays = [_array(column, field.type) for field, column in zip(schema, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(column: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_decimal(kind):  # Arrow makes decimals from integers of its own, but not from Python's
        return pa.array(column, pa.uint64()).cast(kind)
    return pa.array(column, kind)


def quarantine_schema(name: str) -> pa.Schema:
    """Of entries that are no row; `name` is the column for what their first field says."""
    columns = [("partition", pa.int32()), ("entry", pa.string())]
    columns += [(name, pa.string()), ("why", pa.string()), ("record", pa.binary())]
    return pa.schema(columns, metadata={"tino.archive": "1"})


def quarantine_table(schema: pa.Schema, bad: Iterable[Bad]) -> pa.Table:
    rows = [(entry.partition, shown(entry.id), entry.name, why, entry.body) for entry, why in bad]
    return table_of(schema, rows)


def day_of(at_us: int) -> date:
    """The day, in UTC, of a time in microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=at_us)).date()
