"""Rows of events: reading CSV, JSON Lines and Parquet in slices, from any row on.

Where the slices end depends on the file alone, so that an import that was cut short goes on at the same place.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from features.bulk_coded import coded_column
from features.columns import BadRow
from features.event_columns import EventColumns
from features.event_lines import json_slices
from features.event_slice import Slice
from features.rows import csv_cells, csv_rows, format_of, parquet_file

_PART = 25_000  # rows of text that are held as Python's own strings at a time


def read_slices(path: Path, columns: EventColumns, after: int, size: int) -> Iterator[Slice]:
    """The rows behind the first `after`, at most `size` in a slice. Raises ImportFileError if it can't be read."""
    suffix = format_of(path)
    if suffix == ".csv":
        return _csv_slices(path, columns, after, size)
    return (_parquet_slices if suffix == ".parquet" else json_slices)(path, columns, after, size)


def _csv_slices(path: Path, columns: EventColumns, after: int, size: int) -> Iterator[Slice]:
    with csv_rows(path) as (header, reader):
        names = columns.check(header)
        rows = csv_cells(reader, len(names))
        for _ in islice(rows, after):
            pass
        while True:
            found = Slice([], {}, 0, text=True)
            parts: list[pa.Table] = []
            while found.rows < size and (part := list(islice(rows, min(_PART, size - found.rows)))):
                found.rows += len(part)
                parts.append(_text_table(part, names, found))
            if not found.rows:
                return
            table = pa.concat_tables(parts)
            found.columns = {name: coded_column(table.column(name)) for name in names}
            yield found


def _text_table(part: list[tuple[int, list[str] | BadRow]], names: list[str], found: Slice) -> pa.Table:
    good = [(line, cells) for line, cells in part if isinstance(cells, list)]
    found.bad += [row for _, row in part if isinstance(row, BadRow)]
    try:
        table = _table(names, [cells for _, cells in good])
    except UnicodeEncodeError:
        found.bad += [BadRow(line, "is not UTF-8") for line, cells in good if not _is_text(cells)]
        good = [(line, cells) for line, cells in good if _is_text(cells)]
        table = _table(names, [cells for _, cells in good])
    found.lines += [line for line, _ in good]
    return table


def _table(names: list[str], rows: list[list[str]]) -> pa.Table:
    cells = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table([pa.array(column, pa.string()) for column in cells], names)


def _is_text(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet_slices(path: Path, columns: EventColumns, after: int, size: int) -> Iterator[Slice]:
    file = parquet_file(path)
    names = columns.check(file.schema_arrow.names)
    done = 0
    held: list[pa.Table] = []
    for batch in file.iter_batches(batch_size=65_536):
        table = pa.table(batch).rename_columns(names)
        skipped = min(max(after - done, 0), table.num_rows)
        done += table.num_rows
        held.append(table.slice(skipped))
        while sum(table.num_rows for table in held) >= size:
            whole = pa.concat_tables(held)
            yield _table_slice(whole.slice(0, size), done - whole.num_rows)
            held = [whole.slice(size)]
    rest = pa.concat_tables(held) if held else None
    if rest is not None and rest.num_rows:
        yield _table_slice(rest, done - rest.num_rows)


def _table_slice(table: pa.Table, before: int) -> Slice:
    lines = list(range(before + 1, before + table.num_rows + 1))
    return Slice(lines, {name: coded_column(table.column(name)) for name in table.column_names}, table.num_rows)
